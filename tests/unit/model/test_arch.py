"""Architectures: spellings, EC2 instance types, and which evidence wins."""

import pytest

from orchestrator.model.arch import arch_of_instance_type, infer_arch, normalise_arch


@pytest.mark.parametrize("spelling", ["x86_64", "x86-64", "x86", "amd64", "AMD64", "Intel", " x86_64 "])
def test_every_usual_spelling_of_x86_is_x86_64(spelling: str) -> None:
    assert "x86_64" == normalise_arch(spelling)


@pytest.mark.parametrize("spelling", ["arm64", "aarch64", "ARM64", "AArch64", "arm", "Graviton", "\tgraviton\n"])
def test_every_usual_spelling_of_arm_is_arm64(spelling: str) -> None:
    assert "arm64" == normalise_arch(spelling)


@pytest.mark.parametrize("spelling", ["", " ", "riscv64", "x86_64_worker", "🦾", "armchair"])
def test_any_other_word_is_unknown(spelling: str) -> None:
    assert "unknown" == normalise_arch(spelling)


@pytest.mark.parametrize(
    "instance_type",
    [
        "a1.medium",
        "c6g.metal",
        "c7gn.16xlarge",
        "c8g.metal-24xl",
        "g5g.xlarge",
        "hpc7g.16xlarge",
        "i4g.large",
        "i8ge.large",
        "im4gn.4xlarge",
        "is4gen.medium",
        "m6g.large",
        "m7gd.medium",
        "m8g.2xlarge",
        "p6e-gb200.36xlarge",
        "r8g.48xlarge",
        "t4g.nano",
        "x2gd.xlarge",
        "x8g.large",
    ],
)
def test_graviton_instance_types_are_arm64(instance_type: str) -> None:
    assert "arm64" == arch_of_instance_type(instance_type)


@pytest.mark.parametrize(
    "instance_type",
    [
        "c7i-flex.large",
        "g4dn.xlarge",
        "g5.xlarge",
        "g6.12xlarge",
        "g6e.xlarge",
        "gr6.4xlarge",
        "hpc7a.96xlarge",
        "i3en.metal",
        "inf2.48xlarge",
        "m5.large",
        "m5zn.metal",
        "m7a.large",
        "m7i.2xlarge",
        "mac1.metal",
        "p4d.24xlarge",
        "p5.48xlarge",
        "p6-b200.48xlarge",
        "t3a.micro",
        "trn1n.32xlarge",
        "u-6tb1.56xlarge",
        "u7i-12tb.224xlarge",
        "x2iezn.metal",
        "z1d.metal",
    ],
)
def test_intel_amd_and_gpu_instance_types_are_x86(instance_type: str) -> None:
    """`g` as family letter means GPU; only behind the generation does it mean Graviton."""
    assert "x86_64" == arch_of_instance_type(instance_type)


@pytest.mark.parametrize("instance_type", ["mac2.metal", "mac2-m2pro.metal", "mac-m4.metal"])
def test_macs_with_apple_silicon_are_arm64(instance_type: str) -> None:
    assert "arm64" == arch_of_instance_type(instance_type)


@pytest.mark.parametrize(
    ("instance_type", "arch"),
    [
        ("n1-standard-2", "x86_64"),
        ("n2d-standard-4", "x86_64"),
        ("t2a-standard-4", "arm64"),
        ("c4a-highcpu-8", "arm64"),
        ("Standard_D4s_v5", "x86_64"),
        ("Standard_NC6s_v3", "x86_64"),
        ("Standard_D8ps_v5", "arm64"),
        ("Standard_E4-2ds_v4", "x86_64"),
    ],
)
def test_machine_types_of_google_and_azure_have_the_architecture_of_their_series(instance_type: str, arch: str) -> None:
    assert arch == arch_of_instance_type(instance_type)


@pytest.mark.parametrize("instance_type", ["", "m8g", ".large", "x9-standard-4", "Standard", "db.m8g.large", "8"])
def test_an_instance_type_of_no_known_cloud_is_unknown(instance_type: str) -> None:
    assert "unknown" == arch_of_instance_type(instance_type)


def test_a_label_wins_over_instance_type_resource_and_name() -> None:
    inferred = infer_arch(
        name="x86_worker", instance_type="m7i.large", labels={"ray.io/arch": "aarch64"}, resources={"Intel": 1}
    )

    assert "arm64" == inferred


@pytest.mark.parametrize("key", ["arch", "architecture", "kubernetes.io/arch", "ray.io/arch"])
def test_each_usual_label_key_is_read(key: str) -> None:
    assert "arm64" == infer_arch(labels={key: "arm64"})


def test_a_label_with_an_unknown_value_gives_way_to_the_instance_type() -> None:
    assert "x86_64" == infer_arch(labels={"arch": "riscv64"}, instance_type="m7i.large")


def test_the_instance_type_wins_over_resource_and_name() -> None:
    assert "arm64" == infer_arch(name="x86_worker", instance_type="m8g.large", resources={"Intel": 1})


def test_a_custom_resource_wins_over_the_name() -> None:
    assert "arm64" == infer_arch(name="x86_worker", resources={"CPU": 8, "Graviton": 1})


@pytest.mark.parametrize(
    ("name", "arch"),
    [
        ("x86_worker_node", "x86_64"),
        ("arm_worker_node", "arm64"),
        ("worker-arm64", "arm64"),
        ("worker.amd64", "x86_64"),
        ("x86_64_worker", "x86_64"),
        ("worker-x86_64", "x86_64"),
        ("worker-x86-64", "x86_64"),
        ("Graviton workers", "arm64"),
        ("alarm_worker", "unknown"),
        ("worker", "unknown"),
    ],
)
def test_a_word_of_the_name_is_the_last_evidence(name: str, arch: str) -> None:
    assert arch == infer_arch(name=name)


def test_without_any_evidence_the_architecture_is_unknown() -> None:
    assert "unknown" == infer_arch()
