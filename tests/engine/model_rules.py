"""What policies say, looked up field by field, and what follows from it."""

from typing import Any

from gearpy.engine.policy import Delays, Exponential, Policy

from .model_job import ModelJob

DEFAULT_ATTEMPTS = 5
DEFAULT_POISON = 5


class ModelRules:
    """Policies by function, from the settings and from operators, and those of single jobs."""

    def __init__(self, job_retries: int, draw: float, policies: dict[bytes, Policy]) -> None:
        self.job_retries = job_retries
        self.draw = draw
        self.file_policies = policies
        self.set_policies: dict[bytes, Policy] = {}

    def of_function(self, function: bytes, field: str) -> Any:
        """What the function's policy says; what an operator set hides what the file says."""
        policy = self.set_policies.get(function) or self.file_policies.get(function)
        return None if policy is None else getattr(policy, field)

    def said(self, job: ModelJob, field: str) -> Any:
        """What counts for a job: what its client asked for comes first."""
        own = None if job.own is None else getattr(job.own, field)
        return self.of_function(job.function, field) if own is None else own

    def has_policy(self, job: ModelJob) -> bool:
        """Whether anybody said anything, and be it nothing."""
        return (
            job.own is not None
            or job.function in self.set_policies
            or job.function in self.file_policies
        )

    def keeps(self, function: bytes) -> bool:
        """Whether the function keeps its finished jobs."""
        return bool(self.of_function(function, "keep_s"))

    def retries(self, job: ModelJob) -> bool:
        """Whether its attempts are repeated in another way than gearmand's."""
        fields = ("attempts", "retry_on", "backoff")
        return any(self.said(job, field) is not None for field in fields)

    def attempts_max(self, job: ModelJob) -> float:
        """How many attempts it may have."""
        if not self.retries(job):
            return self.job_retries + 1 if self.job_retries >= 0 else float("inf")
        if self.said(job, "retry_on") == frozenset():
            return 1
        return self.said(job, "attempts") or DEFAULT_ATTEMPTS

    def verdict(self, job: ModelJob, cause: str, told: bool) -> tuple[str, float]:
        """What follows an attempt that ended badly: "again" and in how many seconds, "failed", or
        why it is dead."""
        if not job.wanted:
            return "failed", 0.0
        poison = self.said(job, "poison")
        if poison is None:
            poison = DEFAULT_POISON
        if self.has_policy(job) and cause == "lost" and 0 < poison <= job.crashes:
            return "took too many workers down", 0.0
        if not self.retries(job):
            may = self.job_retries < 0 or job.losses <= self.job_retries
            return ("again" if may and not told else "failed"), 0.0
        causes = self.said(job, "retry_on")
        if causes is not None and cause not in causes:
            return "failed", 0.0
        if job.attempts >= (self.said(job, "attempts") or DEFAULT_ATTEMPTS):
            return "attempts used up", 0.0
        return "again", self._delay_s(job)

    def _delay_s(self, job: ModelJob) -> float:
        backoff = self.said(job, "backoff")
        if isinstance(backoff, Delays):
            delays_s = [0.0, *backoff.delays_s]
            return delays_s[min(job.attempts, len(delays_s) - 1)]
        backoff = backoff or Exponential()
        delay_s = min(backoff.base_s * backoff.factor ** (job.attempts - 1), backoff.cap_s)
        return float(delay_s * (1 + backoff.jitter * (2 * self.draw - 1)))
