"""Launch profiles: what each assumes, which one suits a cluster, and what is said about it."""

import pytest

from orchestrator.errors import InputError
from orchestrator.inputs.launch_profiles import THIS_MACHINE, assume, profile_names, read_profile
from orchestrator.model.cluster import NodeType
from orchestrator.model.latency import Delay, LaunchModel

X86 = NodeType(name="x86", arch="x86_64", instance_type="m7i.2xlarge", resources={"CPU": 8}, max_workers=4)
ARM = NodeType(name="arm", arch="arm64", instance_type="m8g.2xlarge", resources={"CPU": 8}, max_workers=4)
PROFILES = [
    *("aws-al2023-arm", "aws-al2023-x86", "aws-baked-image", "gcp"),
    *("kuberay-cold", "kuberay-warm", THIS_MACHINE),
]


def test_these_profiles_are_there() -> None:
    assert PROFILES == profile_names()


@pytest.mark.parametrize("name", PROFILES)
def test_no_stage_of_a_profile_takes_no_time(name: str) -> None:
    launch = read_profile(name).launch

    assert min(launch.request.expected_s, launch.boot.expected_s, launch.install.expected_s) > 0.4


@pytest.mark.parametrize(
    ("name", "seconds"),
    [("aws-al2023-x86", 80), ("aws-baked-image", 34), ("gcp", 81), ("kuberay-warm", 9.5), ("kuberay-cold", 94.5)],
)
def test_a_profile_has_the_mean_that_the_documentation_names(name: str, seconds: float) -> None:
    assert seconds == pytest.approx(read_profile(name).expected_s, abs=1)


def test_an_unknown_profile_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(InputError, match="unknown profile 'aws-fast'") as refused:
        read_profile("aws-fast")

    assert "kuberay-warm" in str(refused.value.hint)


@pytest.mark.parametrize("name", ["", "../cluster/local", "gcp.yaml", "x" * 999])
def test_a_name_is_no_path(name: str) -> None:
    with pytest.raises(InputError):
        read_profile(name)


@pytest.mark.parametrize(
    ("provider", "worker", "profile"),
    [
        ("aws", X86, "aws-al2023-x86"),
        ("aws", ARM, "aws-al2023-arm"),
        (None, ARM, "aws-al2023-arm"),
        ("gcp", X86, "gcp"),
        ("kuberay", X86, "kuberay-warm"),
    ],
)
def test_provider_and_architecture_choose_the_profile(provider: str | None, worker: NodeType, profile: str) -> None:
    assumed = assume(LaunchModel(), [worker], provider, None, real_nodes=False)

    assert read_profile(profile).launch.install == assumed.launch.install
    assert f"launches as in profile {profile} (" in assumed.text
    assert "no provider.launch" in assumed.text


def test_a_provider_without_measurements_gets_those_of_another_and_a_word_about_it() -> None:
    assert "for want of measurements of azure" in assume(LaunchModel(), [X86], "azure", None, real_nodes=False).text


def test_a_named_profile_holds_for_all_node_types() -> None:
    assumed = assume(LaunchModel(), [X86, ARM], "aws", "kuberay-cold", real_nodes=False)

    assert (
        read_profile("kuberay-cold").launch.boot == assumed.launch.stages("arm")[1] == assumed.launch.stages("x86")[1]
    )
    assert {} == assumed.launch.node_types
    assert assumed.text.startswith("launches as in profile kuberay-cold (")


def test_what_else_a_file_says_of_its_cloud_stays() -> None:
    given = LaunchModel(boot=Delay(mean_s=3), terminate=Delay(mean_s=7), failure_rate=0.1, capacity={"x86": 2}, seed=9)
    launch = assume(given, [X86], "aws", "gcp", real_nodes=False).launch

    assert (Delay(mean_s=7), 0.1, {"x86": 2}, 9) == (
        launch.terminate,
        launch.failure_rate,
        launch.capacity,
        launch.seed,
    )
    assert read_profile("gcp").launch.boot == launch.boot


def test_real_nodes_install_in_their_own_time() -> None:
    """A cloud's request and boot are modelled on the local backend; the install stage is what this machine takes."""
    assumed = assume(LaunchModel(), [X86], "aws", None, real_nodes=True)
    cloud, here = read_profile("aws-al2023-x86"), read_profile(THIS_MACHINE)

    assert (cloud.launch.request, cloud.launch.boot, here.launch.install) == (
        assumed.launch.request,
        assumed.launch.boot,
        assumed.launch.install,
    )
    assert here.simulation.worker_start == assumed.simulation["worker_start"]
    assert "install stage, which is real" in assumed.text
