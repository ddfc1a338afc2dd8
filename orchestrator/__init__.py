"""What makes decisions durable and carries them on: the ledger, the saga runner, the watchdog, the audit."""
