"""The shared store that is a bucket of S3, or of another server that speaks its protocol."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from warpbeam.error import Failed, Misuse
from warpbeam.store.shared import NAME, PIECE, Absent, OnSent, Sink, StoredFile, Unavailable, too_long

# S3's limit for one request (DeleteObjects).
MOST_REMOVED = 1000
ABSENT = ("NoSuchKey", "404", "NotFound")
CREDENTIALS = (
    "credentials come from where the AWS tools take them: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, "
    "~/.aws, or the role of the machine"
)
SETTINGS = "see `build.store_endpoint`, AWS_ENDPOINT_URL, AWS_PROFILE and AWS_REGION"


class S3Bucket:
    """A `warpbeam.store.shared.SharedStore` below `prefix`/`app` of a bucket.

    Parameters:
        label: the store's URL, for messages.
        endpoint: the URL of a server that is not Amazon's; None: AWS_ENDPOINT_URL decides, or Amazon's.
    """

    def __init__(self, label: str, bucket: str, prefix: str, app: str, endpoint: str | None) -> None:
        self.label = label
        self._bucket = bucket
        self._beginning = "/".join(filter(None, (prefix.strip("/"), app))) + "/"
        self._endpoint = endpoint
        self._made: Any = None

    def files(self) -> dict[str, StoredFile]:
        """See `SharedStore.files`."""
        found = {}
        with self._explained("list its files") as client:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._beginning)
            for page in pages:
                for each in page.get("Contents", ()):
                    name = str(each["Key"]).removeprefix(self._beginning)
                    if NAME.fullmatch(name):
                        found[name] = StoredFile(int(each["Size"]), int(each["LastModified"].timestamp()))
        return found

    def read(self, name: str, most: int, sink: Sink) -> None:
        """See `SharedStore.read`."""
        left = most
        with self._explained(f"read {name}", name) as client:
            body = client.get_object(Bucket=self._bucket, Key=self._beginning + name)["Body"]
            try:
                while piece := body.read(PIECE):
                    left -= len(piece)
                    if left < 0:
                        raise too_long(self, name, most)
                    sink(piece)
            finally:
                body.close()

    def write(self, name: str, content: Path, on_sent: OnSent) -> None:
        """See `SharedStore.write`. An upload that is cut off leaves no object: S3 shows whole ones only."""
        with self._explained(f"write {name}") as client:
            client.upload_file(str(content), self._bucket, self._beginning + name, Callback=on_sent)

    def remove(self, names: list[str]) -> None:
        """See `SharedStore.remove`. A lifecycle rule of the bucket removes the parts of uploads that were cut off."""
        with self._explained("remove files") as client:
            for first in range(0, len(names), MOST_REMOVED):
                objects = [{"Key": self._beginning + name} for name in names[first : first + MOST_REMOVED]]
                done = client.delete_objects(Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True})
                for error in done.get("Errors", ()):
                    raise Failed(f"the store {self.label} did not remove {error.get('Key')}: {error.get('Message')}")

    @property
    def _client(self) -> Any:
        """The client, made at its first use: boto3 takes a third of a second to load."""
        if self._made is None:
            try:
                from boto3.session import Session
                from botocore.config import Config
                from botocore.exceptions import BotoCoreError
            except ImportError:
                raise Misuse(
                    f"the store {self.label} needs the Python package boto3, which is not installed",
                    "install it where fab runs: `pip install boto3`, or Warpbeam with its extra: `warpbeam[s3]`",
                ) from None
            config = Config(
                connect_timeout=10,
                read_timeout=60,
                retries={"mode": "standard", "max_attempts": 4},
                # Servers other than Amazon's may not know the newer checksums. We compare sha256 anyway.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            )
            try:
                self._made = Session().client("s3", endpoint_url=self._endpoint, config=config)
            except (BotoCoreError, ValueError) as error:
                raise Misuse(f"the store {self.label}: {_first_line(error)}", SETTINGS) from None
        return self._made

    @contextmanager
    def _explained(self, what: str, name: str = "") -> Iterator[Any]:
        """Yield the client, and raise its errors as one of ours.

        Parameters:
            what: completes the message "cannot …".
            name: the file that is read, where one is.
        """
        client = self._client
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

        try:
            yield client
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if name and code in ABSENT:
                raise Absent(f"the store {self.label} has no {name}") from None
            raise self._unavailable(what, error, _hint(code)) from None
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise self._unavailable(what, error, CREDENTIALS) from None
        except (BotoCoreError, Boto3Error) as error:
            raise self._unavailable(what, error, SETTINGS) from None

    def _unavailable(self, what: str, error: Exception, hint: str) -> Unavailable:
        return Unavailable(f"the store {self.label}: cannot {what}: {_first_line(error)}", hint)


def _hint(code: str) -> str:
    if code == "NoSuchBucket":
        return "make the bucket: Warpbeam makes none"
    if code in ("AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"):
        return CREDENTIALS
    return ""


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:500]
