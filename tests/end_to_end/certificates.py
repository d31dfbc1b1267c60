"""Certificates made for one test: authorities, servers, clients, good and bad ones."""
import datetime
import ipaddress
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


def _name(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


class Pair:
    """A certificate and its key, as PEM in bytes."""

    def __init__(self, certificate, key):
        self.certificate = certificate
        self.key = key
        self.certificate_pem = certificate.public_bytes(serialization.Encoding.PEM)
        self.key_pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    @property
    def serial(self):
        return self.certificate.serial_number

    def write(self, folder, name, mode=0o600):
        """Writes NAME.crt and NAME.key; returns their paths."""
        certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
        certificate.write_bytes(self.certificate_pem)
        write_secret(key, self.key_pem, mode)
        return str(certificate), str(key)


def write_secret(path, text, mode=0o600):
    """Puts `text` in the place of what is at `path`, at once."""
    beside = path.with_name(path.name + ".new")
    beside.write_bytes(text)
    beside.chmod(mode)
    os.replace(beside, path)


class Authority:
    """A certificate authority of its own."""

    def __init__(self, name="Test CA"):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = _name(name)
        self.certificate = self._sign(self.name, self.key, is_authority=True)
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM)

    def _sign(self, subject, key, hosts=(), days=(-1, 90), is_authority=False, usage=None):
        now = datetime.datetime.utcnow()
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + days[0] * DAY)
            .not_valid_after(now + days[1] * DAY)
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False
            )
        )
        if hosts:
            names = [_general_name(host) for host in hosts]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def server(self, hosts=("localhost", "127.0.0.1", "::1"), days=(-1, 90)):
        """A server's Pair for `hosts`, valid from and to so many days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.SERVER_AUTH
        return Pair(self._sign(_name(hosts[0]), key, hosts, days, usage=usage), key)

    def client(self, name="trainer", days=(-1, 90)):
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.CLIENT_AUTH
        return Pair(self._sign(_name(name), key, (), days, usage=usage), key)


def _general_name(host):
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
