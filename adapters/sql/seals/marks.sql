SELECT marks FROM {schema}.seals WHERE number = %(number)s
