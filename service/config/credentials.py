"""The value types of keys that say who may call: what is wrong with a value is told without it, it may be a secret."""

import re
from datetime import UTC, date, datetime
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, SecretStr

# An Ed25519 key of 32 bytes, in base58: https://docs.restate.dev/services/security
_IDENTITY_KEY = re.compile(r"publickeyv1_[1-9A-HJ-NP-Za-km-z]{32,44}")
_IDENTITY_KEY_BYTES = 32
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_TOKEN_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_BEARER_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, section 2.1


def _identity_keys(value: object) -> object:
    """Read a list of keys; the environment spells one as a text with commas."""
    listed = value.split(",") if isinstance(value, str) else value
    if not isinstance(listed, list | tuple):
        raise ValueError('must be a list of keys such as ["publickeyv1_..."]')  # noqa: TRY004 - pydantic collects ValueErrors only
    keys = tuple(str(each).strip() for each in listed if each != "")
    for index, key in enumerate(keys):
        if not _is_identity_key(key):  # perhaps the private one, so it is not shown
            raise ValueError(f"holds in place {index} what is not a public key such as publickeyv1_...")
    return keys


def _is_identity_key(text: str) -> bool:
    """Tell whether it is a public key; one that lost a letter is not, although it looks like one."""
    if not _IDENTITY_KEY.fullmatch(text):
        return False
    digits, number = text.partition("_")[2], 0
    for digit in digits:
        number = number * len(_BASE58) + _BASE58.index(digit)
    zeros = len(digits) - len(digits.lstrip(_BASE58[0]))
    return zeros + (number.bit_length() + 7) // 8 == _IDENTITY_KEY_BYTES


def _tokens(value: object) -> object:
    if not isinstance(value, list | tuple):
        raise ValueError("must be an array of tables: write [[grpc.tokens]]")  # noqa: TRY004 - as above
    return tuple(value)


def _token_name(text: str) -> str:
    if not _TOKEN_NAME.fullmatch(text):
        raise ValueError("must be 1 to 64 characters of A-Z, a-z, 0-9 and ._-@")
    return text


def _token_hash(text: str) -> str:
    if not _SHA256.fullmatch(text):
        raise ValueError("must be the 64 hex digits of the token's SHA-256, never the token itself")
    return text.lower()


def _bearer_token(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if text and not _BEARER_TOKEN.fullmatch(text):
        raise ValueError("holds what no token has: its characters are A-Z, a-z, 0-9 and -._~+/=")
    return secret


def _moment(value: object) -> object:
    """Take a TOML date-time with its offset, or a date: its beginning, in UTC."""
    if type(value) is date:
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError("must be a date or a time with its offset, without quotes, such as 2027-01-31T12:00:00Z")
    return value


IdentityKeys = Annotated[tuple[str, ...], BeforeValidator(_identity_keys)]
TokenName = Annotated[str, AfterValidator(_token_name)]
TokenHash = Annotated[str, AfterValidator(_token_hash)]
Moment = Annotated[datetime, BeforeValidator(_moment)]
BearerToken = Annotated[SecretStr, AfterValidator(_bearer_token)]
Tokens = BeforeValidator(_tokens)
