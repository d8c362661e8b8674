"""The certificates of authorities that this machine's variables name, looked at before a library trips over them.

HTTP libraries read these variables by themselves; a missing file ends there in an error without a name, or, of a
folder, in trust in nobody.
"""

import functools
import ssl
from pathlib import Path

from lesion_core.errors import ConfigError
from lesion_core.settings import first_set, set_aside

OF_HTTPX = ("SSL_CERT_FILE", "SSL_CERT_DIR")
OF_BOTO3 = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")


def require_certificates(variables: tuple[str, ...]) -> None:
    """Check what the first of these variables that is set names; to be asked only where TLS is about to be used.

    Raises:
        ConfigError: There is no such file or folder, or the file holds no certificates.
    """
    name, path = first_set(variables)
    if path and (problem := _problem(Path(path))):
        raise ConfigError(
            f"expected {name} to name certificates of authorities in PEM format, got {path!r}: {problem}; correct "
            "the path, or unset the variable to trust the usual authorities"
        )


def set_unusable_aside() -> None:
    """Hide what names no certificates from libraries that read it as they are imported, needed or not.

    Prefect does not start otherwise, even where its server speaks plain HTTP. ``require_certificates`` still raises.
    """
    for name in OF_HTTPX:
        _, path = first_set((name,))
        if path and _problem(Path(path)):
            set_aside(name)


@functools.cache
def _problem(path: Path) -> str:
    if not path.exists():
        return "there is no such file or folder"
    if path.is_dir():
        return ""
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # what ssl raises is one, too
        return str(error)
    return ""
