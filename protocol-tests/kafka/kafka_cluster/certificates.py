"""Certificates and signed tokens, made with openssl."""
import base64
import json
import shutil
import subprocess
import time
from pathlib import Path

from .base import Failure, PASSWORD
from .jvm import java


def make_certs(place, pkcs12):
    """A CA, the brokers' and a client's certificate, and an unknown CA's client."""
    if not shutil.which("openssl"):
        raise Failure("openssl is needed for TLS listeners")
    place.mkdir(parents=True, exist_ok=True)

    def openssl(*args):
        run = subprocess.run(["openssl", *map(str, args)], cwd=place, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if run.returncode:
            raise Failure(f"openssl {args[0]} failed:\n{run.stdout}")

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

    def authority(name):
        openssl("req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", 3650, "-sha256",
                "-subj", f"/CN=kafka-cluster {name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def leaf(name, common, ca, usage, names=""):
        (place / "leaf.ext").write_text("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
                                        f"extendedKeyUsage={usage}\n{names}")
        openssl("req", "-new", *key, "-keyout", f"{name}.key", "-out", "leaf.csr", "-subj", f"/CN={common}")
        openssl("x509", "-req", "-in", "leaf.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial",
                "-days", 3650, "-sha256", "-extfile", "leaf.ext", "-out", f"{name}.pem")
        whole = (place / f"{name}.key").read_text() + (place / f"{name}.pem").read_text() \
            + (place / f"{ca}.pem").read_text()
        (place / f"{name}-keystore.pem").write_text(whole)

    authority("ca")
    authority("unknown-ca")
    leaf("broker", "localhost", "ca", "serverAuth,clientAuth", "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1\n")
    leaf("client", "alice", "ca", "clientAuth")
    leaf("unknown-client", "alice", "unknown-ca", "clientAuth")
    openssl("pkcs8", "-topk8", "-v2", "aes-256-cbc", "-in", "client.key", "-out", "client-encrypted.key",
            "-passout", f"pass:{PASSWORD}")
    if pkcs12:
        for name in ("broker", "client", "unknown-client"):
            openssl("pkcs12", "-export", "-in", f"{name}-keystore.pem", "-name", name, "-out", f"{name}.p12",
                    "-passout", f"pass:{PASSWORD}")
        keytool = Path(shutil.which(java()[0])).resolve().parent / "keytool"
        run = subprocess.run([str(keytool) if keytool.exists() else "keytool", "-importcert", "-noprompt", "-alias",
                              "ca", "-file", "ca.pem", "-keystore", "truststore.p12", "-storetype", "PKCS12",
                              "-storepass", PASSWORD], cwd=place, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
        if run.returncode:
            raise Failure(f"keytool failed:\n{run.stdout}")
    for junk in ("leaf.ext", "leaf.csr", "ca.srl", "unknown-ca.srl"):
        (place / junk).unlink(missing_ok=True)


def make_jwks(place):
    """An RSA key pair and its JWKS, for tokens that the broker really checks."""
    place.mkdir(parents=True, exist_ok=True)
    key = place / "jwt.key"
    for args in (["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(key)],):
        if subprocess.run(["openssl", *args], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
            raise Failure("openssl could not make the key for signed tokens")
    told = subprocess.run(["openssl", "rsa", "-in", str(key), "-noout", "-modulus"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, check=True).stdout
    modulus = bytes.fromhex(told.strip().split("=", 1)[1])
    jwk = {"kty": "RSA", "kid": "kafka-cluster", "use": "sig", "alg": "RS256", "n": b64url(modulus), "e": "AQAB"}
    (place / "jwks.json").write_text(json.dumps({"keys": [jwk]}))


def b64url(raw):
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def make_token(user, seconds, key=None, audience="kafka", issuer="kafka-cluster", scope=None):
    now = int(time.time())
    claims = {"sub": user, "iat": now - 1, "exp": now + seconds}
    if scope:
        claims["scope"] = scope
    if key:
        claims.update(iss=issuer, aud=audience)
    header = {"alg": "RS256", "typ": "JWT", "kid": "kafka-cluster"} if key else {"alg": "none"}
    signed = b64url(json.dumps(header).encode()) + "." + b64url(json.dumps(claims).encode())
    signature = b""
    if key:
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", str(key)], input=signed.encode(),
                                   stdout=subprocess.PIPE, check=True).stdout
    return signed + "." + b64url(signature)
