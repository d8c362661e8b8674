"""Every way lesionflow can fail, in one tree.

::

    LesionError                     transient = False
    ├ ConfigError(ValueError)       an invalid setting, recipe or request
    ├ DataError
    │ ├ ManifestError               a table that breaks its schema
    │ ├ UnknownLabelError           a diagnosis, sex or site outside the vocabulary
    │ ├ LeakageError                one group in two splits
    │ ├ LicenceRefused              images under a licence that the profile does not allow
    │ └ ImageRejected               bytes that are no usable image
    ├ SourceError
    │ ├ SourceUnavailable           [transient] the archive does not answer
    │ ├ SourceResponseError         the archive answers something outside its contract
    │ ├ SchemaDrift                 the archive's fields are not those that the last manifest had
    │ └ ShortfallError              more images missing than the tolerance allows
    ├ StoreError
    │ ├ ArtifactNotFound
    │ ├ ArtifactCorrupt             bytes that do not match their sha256
    │ ├ StoreConflict               a conditional write that lost
    │ ├ StoreRefused                credentials, permissions, a full disk
    │ └ StoreUnavailable            [transient] the store does not answer
    ├ TrainingError
    │ ├ TrainingDiverged            a loss that is not a number
    │ ├ ChildKilled                 [transient] the training process was killed; it resumes
    │ ├ TrialStopped                a study gave a trial up
    │ └ StudyEnded                  a study ended before its trial, which can be taken up again
    ├ PromotionError
    │ ├ GateNotPassed
    │ └ PromotionConflict           somebody else moved the channel first
    └ ServingError
      ├ ModelNotReady               nothing is approved yet
      └ InputRejected               user-facing text, safe to show

``transient`` says whether the same call may succeed later; only such errors are retried. A message
says what was expected, what came, and what to do. Keyword context stays on the exception as attributes.
"""

from typing import Any, ClassVar


class LesionError(Exception):
    """Base of every error raised on purpose.

    Args:
        message: What was expected, what came, what to do next.
        **context: JSON-serialisable facts, kept in ``self.context`` and readable as attributes.
    """

    transient: ClassVar[bool] = False

    def __init__(self, message: str, **context: Any) -> None:
        super().__init__(message)
        self.message = message
        self.context = context

    def __getattr__(self, name: str) -> Any:
        context = self.__dict__.get("context", {})
        if name in context:
            return context[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.context)


def _rebuild(cls: type[LesionError], message: str, context: dict[str, Any]) -> LesionError:
    return cls(message, **context)


class ConfigError(LesionError, ValueError):
    """A setting, recipe or request that cannot be carried out as written."""


class DataError(LesionError):
    """The data is not what the step needs."""


class ManifestError(DataError):
    """A manifest or metadata table breaks its schema."""


class UnknownLabelError(DataError):
    """A diagnosis, sex or site outside the known vocabulary (``field``, ``value``)."""


class LeakageError(DataError):
    """A patient, lesion or image stands in more than one split."""


class LicenceRefused(DataError):
    """Images whose licence the chosen profile does not allow (``isic_ids``, ``profile``)."""


class ImageRejected(DataError):
    """Bytes that cannot be used as an image (``image_id``, ``reason``)."""


class SourceError(LesionError):
    """The archive, or the mirror that stands in for it."""


class SourceUnavailable(SourceError):
    """The archive did not answer, or answered that it cannot now."""

    transient = True


class SourceResponseError(SourceError):
    """The archive's answer breaks its contract, or refuses the request (``status``)."""


class SchemaDrift(SourceError):
    """The archive's fields or vocabulary changed in a way that data may be lost by (``missing``, ``unknown``)."""


class ShortfallError(SourceError):
    """More images failed to arrive than the stated tolerance (``n_missing``, ``n_wanted``)."""


class StoreError(LesionError):
    """The place where bytes live."""


class ArtifactNotFound(StoreError):
    """No object under this ``key``."""


class ArtifactCorrupt(StoreError):
    """Bytes that do not match their digest (``key``, ``expected``, ``actual``)."""


class StoreConflict(StoreError):
    """A conditional write found another version than it expected (``key``)."""


class StoreRefused(StoreError):
    """The store will not take the request: wrong credential, no permission, disk full."""


class StoreUnavailable(StoreError):
    """The store did not answer."""

    transient = True


class TrainingError(LesionError):
    """Training could not finish."""


class TrainingDiverged(TrainingError):
    """The loss became NaN or infinite (``epoch``, ``loss``)."""


class ChildKilled(TrainingError):
    """A child process ended by a signal; a rerun resumes from its last checkpoint (``signal``)."""

    transient = True


class TrialStopped(TrainingError):
    """A study ended one of its trials early because others do better (``epoch``)."""


class StudyEnded(TrainingError):
    """A study ended before one of its trials, which is taken up when the study is run again (``study``)."""


class PromotionError(LesionError):
    """A model may not be promoted."""


class GateNotPassed(PromotionError):
    """The gate's checks failed, or were never run, for this model."""


class PromotionConflict(PromotionError):
    """The channel moved between reading and writing it (``expected``, ``actual``)."""


class ServingError(LesionError):
    """Something the page's user reads."""


class ModelNotReady(ServingError):
    """No model is approved yet."""


class InputRejected(ServingError):
    """An upload or a field that cannot be used; the message is safe to show."""


def error_by_name(name: str) -> type[LesionError]:
    """Return the class called ``name``, or ``LesionError`` where there is none.

    Used to raise in a parent process what its child reported.
    """
    pending = [LesionError]
    while pending:
        cls = pending.pop()
        if cls.__name__ == name:
            return cls
        pending.extend(cls.__subclasses__())
    return LesionError
