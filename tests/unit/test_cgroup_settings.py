"""What of `linux.resources` becomes which text in which file, on v1 and on v2."""

import pytest

from minidock.isolation.cgroups.place import V2_NAMES
from minidock.isolation.cgroups.settings import cpu_weight, io_weight, settings
from minidock.spec.resources import (
    CPU,
    BlockIO,
    DeviceWeight,
    HugepageLimit,
    Memory,
    Network,
    RdmaLimit,
    Resources,
    Throttle,
)

V1: tuple[str, ...] = ()
V2 = tuple(V2_NAMES)


def written(resources: Resources, of_v2: tuple[str, ...]) -> list[str]:
    return [f"{file} = {text}" for s in settings(resources, of_v2) for file, text in s.files[:1]]


EVERYTHING = Resources(
    memory=Memory(limit=64 << 20, swap=96 << 20, reservation=32 << 20, kernel_tcp=4096,
                  swappiness=0, disable_oom_killer=True),
    cpu=CPU(shares=512, quota=20000, period=50000, burst=1000, cpus="0-1", mems="0", idle=0,
            realtime_runtime=5, realtime_period=10),
    pids_limit=7,
    block_io=BlockIO(weight=100, device_weights=(DeviceWeight(8, 0, 200, 300),),
                     read_bps=(Throttle(8, 0, 1),), write_bps=(Throttle(8, 16, 2),),
                     read_iops=(Throttle(8, 0, 3),), write_iops=(Throttle(8, 0, 0),)),
    hugepages=(HugepageLimit("2MB", 1 << 21),),
    network=Network(class_id=0x100001, priorities=(("eth0", 5), ("lo", 1))),
    rdma=(RdmaLimit("mlx5_0", 3, None), RdmaLimit("mlx5_1", 1, 2)),
)  # fmt: skip


def test_v1() -> None:
    assert written(EVERYTHING, V1) == [
        "memory.limit_in_bytes = 67108864",
        "memory.memsw.limit_in_bytes = 100663296",
        "memory.soft_limit_in_bytes = 33554432",
        "memory.kmem.tcp.limit_in_bytes = 4096",
        "memory.swappiness = 0",
        "memory.oom_control = 1",
        "cpu.shares = 512",
        "cpu.cfs_period_us = 50000",
        "cpu.cfs_quota_us = 20000",
        "cpu.cfs_burst_us = 1000",
        "cpu.rt_period_us = 10",
        "cpu.rt_runtime_us = 5",
        "cpu.idle = 0",
        "cpuset.cpus = 0-1",
        "cpuset.mems = 0",
        "pids.max = 7",
        "blkio.bfq.weight = 100",
        "blkio.bfq.weight_device = 8:0 200",
        "blkio.leaf_weight_device = 8:0 300",
        "blkio.throttle.read_bps_device = 8:0 1",
        "blkio.throttle.write_bps_device = 8:16 2",
        "blkio.throttle.read_iops_device = 8:0 3",
        "blkio.throttle.write_iops_device = 8:0 0",
        "hugetlb.2MB.limit_in_bytes = 2097152",
        "hugetlb.2MB.rsvd.limit_in_bytes = 2097152",
        "net_cls.classid = 1048577",
        "net_prio.ifpriomap = eth0 5",
        "net_prio.ifpriomap = lo 1",
        "rdma.max = mlx5_0 hca_handle=3",
        "rdma.max = mlx5_1 hca_handle=1 hca_object=2",
    ]


def test_v2() -> None:
    assert written(EVERYTHING, V2) == [
        "memory.max = 67108864",
        "memory.swap.max = 33554432",
        "memory.low = 33554432",
        "cpu.weight = 59",
        "cpu.max = 20000 50000",
        "cpu.max.burst = 1000",
        "cpu.idle = 0",
        "cpuset.cpus = 0-1",
        "cpuset.mems = 0",
        "pids.max = 7",
        "io.bfq.weight = 100",
        "io.bfq.weight = 8:0 200",
        "io.max = 8:0 rbps=1",
        "io.max = 8:16 wbps=2",
        "io.max = 8:0 riops=3",
        "io.max = 8:0 wiops=max",
        "hugetlb.2MB.max = 2097152",
        "hugetlb.2MB.rsvd.max = 2097152",
        "rdma.max = mlx5_0 hca_handle=3",
        "rdma.max = mlx5_1 hca_handle=1 hca_object=2",
    ]
    missing = [s.field for s in settings(EVERYTHING, V2) if not s.files]
    assert missing == [
        "memory.kernelTCP", "memory.swappiness", "memory.disableOOMKiller", "cpu.realtimePeriod",
        "cpu.realtimeRuntime", "blockIO.leafWeightDevice", "network.classID", "network.priorities",
        "network.priorities",
    ]  # fmt: skip


def test_nothing_asked_is_nothing_written() -> None:
    zeros = Resources(
        memory=Memory(limit=0, swap=0, reservation=0, swappiness=-1),
        cpu=CPU(shares=0, quota=0, period=0),
        block_io=BlockIO(weight=0),
    )
    for resources in (Resources(), zeros):
        assert settings(resources, V1) == settings(resources, V2) == []


def test_no_limit() -> None:
    resources = Resources(memory=Memory(limit=-1), cpu=CPU(quota=-1), pids_limit=-1)
    # Without a limit for memory there is none for memory and swap either.
    assert written(resources, V1) == [
        "memory.limit_in_bytes = -1",
        "memory.memsw.limit_in_bytes = -1",
        "cpu.cfs_quota_us = -1",
        "pids.max = max",
    ]
    assert written(resources, V2) == [
        "memory.max = max",
        "memory.swap.max = max",
        "cpu.max = max",
        "pids.max = max",
    ]


@pytest.mark.parametrize(
    ("limit", "swap", "found"),
    [(100, 100, "0"), (100, 300, "200"), (100, -1, "max"), (-1, 300, "300")],
)
def test_swap_alone(limit: int, swap: int, found: str) -> None:
    resources = Resources(memory=Memory(limit=limit, swap=swap))
    assert f"memory.swap.max = {found}" in written(resources, V2)


@pytest.mark.parametrize(
    ("cpu", "found"),
    [
        (CPU(quota=20000), "20000"),  # alone it leaves the period as it is
        (CPU(period=50000), "max 50000"),
        (CPU(quota=-1, period=50000), "max 50000"),
        (CPU(quota=20000, period=50000), "20000 50000"),
    ],
)
def test_quota_and_period_share_a_file(cpu: CPU, found: str) -> None:
    assert written(Resources(cpu=cpu), V2) == [f"cpu.max = {found}"]


@pytest.mark.parametrize(
    ("shares", "weight"), [(1, 1), (2, 1), (1024, 100), (262144, 10000), (2**40, 10000), (512, 59)]
)
def test_shares_become_a_weight(shares: int, weight: int) -> None:
    assert cpu_weight(shares) == weight


@pytest.mark.parametrize(("blkio", "weight"), [(10, 1), (1000, 10000), (500, 4950)])
def test_a_weight_for_schedulers_other_than_bfq(blkio: int, weight: int) -> None:
    assert io_weight(blkio) == weight


def test_a_weight_has_a_second_file_where_bfq_is_missing() -> None:
    resources = Resources(block_io=BlockIO(weight=500, device_weights=(DeviceWeight(8, 0, 10),)))
    whole, device = settings(resources, V2)
    assert whole.files == (("io.bfq.weight", "500"), ("io.weight", "4950"))
    assert device.files == (("io.bfq.weight", "8:0 10"), ("io.weight", "8:0 1"))
    whole, device = settings(resources, V1)
    assert whole.files == (("blkio.bfq.weight", "500"), ("blkio.weight", "500"))
    assert device.files[1] == ("blkio.weight_device", "8:0 10")
