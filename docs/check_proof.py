"""Checks a proof of `tillroll replay proof` without Tillroll: python check_proof.py PROOF.json [PUBLIC_KEY]

PUBLIC_KEY: the shop's key as you hold it, 64 hexadecimal digits; without it the key in the proof is believed.
It needs the library `cryptography` for the signature only: without the two lines that name its Ed25519, the
seal's hash, which is printed, can be compared with one that was held. Exit code 0: proved.
"""

import json
import sys
from hashlib import sha256
from struct import pack

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def check(proof, public_key):
    event, seal = proof["event"], proof["seal"]
    texts = [event[name].encode() for name in ("stream", "name", "state")]
    fields = [pack(">q", event["position"]), pack(">q", event["version"]), *texts]
    leaf = pack(">h", 5) + b"".join(pack(">i", len(field)) + field for field in fields)

    known = sha256(b"\x00" + leaf).digest()
    index, count, path = proof["index"], seal["count"], list(map(bytes.fromhex, proof["path"]))
    if not (0 <= index < count and event["position"] <= seal["last"]):
        sys.exit("NOT PROVED: the event is none of this seal's")
    while count > 1:
        if index ^ 1 < count:
            beside = path.pop(0) if path else b""
            known = sha256(b"\x01" + (beside + known if index % 2 else known + beside)).digest()
        index, count = index // 2, (count + 1) // 2
    if path or known.hex() != seal["root"]:
        sys.exit("NOT PROVED: the event is not what was sealed")

    at = seal["sealed_at"].removesuffix("Z")
    at = (at if "." in at else at + ".").ljust(26, "0") + "Z"
    names = ("log", "number", "first", "last", "count", "root", "previous")
    lines = ["tillroll-seal/1", *(f"{name}={seal[name]}" for name in names), f"sealed_at={at}"]
    body = "\n".join([*lines, f"key={seal['key']}"]).encode()
    signature = bytes.fromhex(seal["signature"])
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(signature, body)
    return sha256(body + b"\n" + signature).hexdigest()


with open(sys.argv[1]) as file:
    proof = json.load(file)
digest = check(proof, sys.argv[2] if len(sys.argv) > 2 else proof["public_key"])
print(f"proved: position {proof['event']['position']} of log {proof['seal']['log']} stands as it was sealed")
print(f"seal {proof['seal']['number']} of {proof['seal']['sealed_at']}, hash {digest}")
