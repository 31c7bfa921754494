"""Every error that a user can meet, in one tree; each knows the user's next step and the exit code.

    OrchestrateError                  exit 1
    ├── InputError                    exit 2   what was typed or written in a file can't be used
    │   ├── SpecError                          a file holds a wrong value (names file and key)
    │   └── UnknownId                          no sweep or trial has this id, or several have
    ├── MissingPrerequisite           exit 3   something that is needed isn't on this machine
    │   └── CredentialsExpired                 credentials of a cloud were good before; the user has to log in again
    ├── Interrupted                   exit 130 Ctrl-C, and not all that was started could be ended
    └── TrialFailed                   exit 1   one trial can't be finished; the sweep goes on
        ├── ClusterFailed                      the Ray cluster didn't start, or died
        │   └── CostLimitReached               it was ended because it cost as much as `--max-cost` allows
        ├── SettingsNotInForce                 the autoscaler never took the settings over
        ├── BaselineNotReached                 the cluster didn't go back to its minimum size
        ├── WorkloadFailed                     the stress job itself failed
        └── TrialTimedOut                      the trial took longer than it may

`orchestrator.cli.main` is the one place that turns them into output and an exit code; Ctrl-C and signals are 130 there.

Some results end a command with a code of their own, after the result is printed:

    1   a trial failed, or no trial of the sweep is valid
    4   a threshold of `--fail-if` or `--within` is breached
    5   undecided: too few valid trials for `--fail-if`, or for a recommendation
"""

BREACHED = 4
UNDECIDED = 5


class OrchestrateError(Exception):
    """Base of all errors meant for the user: `message` says what is wrong, `hint` what to do next."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InputError(OrchestrateError):
    """A value on the command line or in the environment can't be used; nothing was started."""

    exit_code = 2


class SpecError(InputError):
    """A spec or cluster file can't be read or holds a wrong value: `where` is the file and the key in it."""

    def __init__(self, where: str, problem: str, hint: str | None = None) -> None:
        super().__init__(" ".join(f"{where}: {problem}".split()), hint)


class UnknownId(InputError):
    """No sweep or trial of the ledger has this id, or several begin with it."""


class MissingPrerequisite(OrchestrateError):
    """Something that the command needs isn't here: a running cluster, an engine, credentials."""

    exit_code = 3


class CredentialsExpired(MissingPrerequisite):
    """A cloud's credentials have expired in the middle. What waits for new ones can go on."""


class Interrupted(OrchestrateError):
    """The user ended the command, and something that it had started couldn't be ended."""

    exit_code = 130


class TrialFailed(OrchestrateError):
    """This trial can't be finished. Its trace is kept; the other trials of the sweep still run."""


class ClusterFailed(TrialFailed):
    """The Ray cluster didn't come up, or its head or monitor died under the trial."""


class CostLimitReached(ClusterFailed):
    """The machines have cost as much as they may, so they were ended under the trial."""


class SettingsNotInForce(TrialFailed):
    """The autoscaler's own state never showed the trial's settings, so the trial would measure others."""


class BaselineNotReached(TrialFailed):
    """The cluster holds more or fewer nodes than `min_workers`, so trials couldn't be compared."""


class WorkloadFailed(TrialFailed):
    """Ray reports the stress job as failed or stopped; its log says why."""


class TrialTimedOut(TrialFailed):
    """The trial ran longer than `--timeout`, for example because demand can never be met."""
