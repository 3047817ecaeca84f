from collections.abc import Callable

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from service.errors import FailedPrecondition
from service.github.app import GitHubApp

NOW_MS = 1_770_000_000_500
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SHORT = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - to be refused
PKCS1, PKCS8 = PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8


def pem(key: PrivateKeyTypes, form: PrivateFormat = PKCS8, encryption: KeySerializationEncryption | None = None) -> str:
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption()).decode()


@pytest.mark.parametrize("form", [PKCS1, PKCS8])
def test_an_app_proves_itself_for_nine_minutes(form: PrivateFormat) -> None:
    credential = GitHubApp(4711, pem(RSA, form)).credential(NOW_MS)

    assert jwt.get_unverified_header(credential.token) == {"alg": "RS256", "typ": "JWT"}
    claims = jwt.decode(
        credential.token, RSA.public_key(), algorithms=["RS256"], options={"verify_exp": False, "verify_iat": False}
    )
    assert claims == {"iss": "4711", "iat": 1_770_000_000 - 60, "exp": 1_770_000_000 + 540}


@pytest.mark.parametrize(
    "spelled", [lambda key: key.replace("\n", "\\n"), lambda key: key.replace("\n", "\r\n"), str.strip]
)
def test_a_key_may_have_come_through_a_variable_or_an_editor(spelled: Callable[[str], str]) -> None:
    assert GitHubApp(1, spelled(pem(RSA))).credential(NOW_MS).token


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ("", "is not a private key in PEM without a password"),
        ("s3cret", "is not a private key in PEM without a password"),
        ("-----BEGIN RSA PRIVATE KEY-----\ns3cret\n-----END RSA PRIVATE KEY-----\n", "is not a private key in PEM"),
        (pem(RSA)[:-200], "is not a private key in PEM"),
        (pem(RSA, PKCS8, BestAvailableEncryption(b"s3cret")), "without a password"),
        (RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1).decode(), "is not a private key in PEM"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "is not an RSA key"),
        (pem(ed25519.Ed25519PrivateKey.generate()), "is not an RSA key"),
        (pem(SHORT), "has fewer than 2048 bits"),
    ],
    # Drawn anew in each process, which have to agree on the names of their tests.
    ids=["nothing", "a word", "no key within", "cut", "with a password", "public", "EC", "Ed25519", "short"],
)
def test_any_other_key_is_refused_and_not_shown(key: str, fault: str) -> None:
    with pytest.raises(FailedPrecondition, match=fault) as caught:
        GitHubApp(4711, key)

    assert caught.value.reason == "GITHUB_KEY_INVALID"
    assert caught.value.message.startswith("github.private_key_pem ")
    shown = f"{caught.value!r} {caught.value.facts}"
    assert not [line for line in ["s3cret", *key.splitlines()[1:-1]] if line in shown]
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
