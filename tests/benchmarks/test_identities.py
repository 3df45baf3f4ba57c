import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sodalake.benchmarks.identities import EPOCHS, Identities

archives = st.builds(
    Identities,
    st.sampled_from(["ztf", "lsst"]),
    st.integers(1, 7),
    st.integers(1, 20).map(lambda n: n * EPOCHS),
)


@given(archives)
def test_every_alert_has_an_id_of_its_own_and_every_object_fourteen_alerts(identities: Identities) -> None:
    slots = np.concatenate([identities.slots(file) for file in range(identities.files)])
    assert slots.tolist() == list(range(len(identities)))
    assert len(set(identities.alert_ids(slots).tolist())) == len(identities)
    names, counts = np.unique(identities.object_ids(slots), return_counts=True)
    assert len(names) == identities.objects
    assert set(counts.tolist()) == {EPOCHS}


@given(archives, st.data())
def test_an_objects_slots_are_its_own_in_the_order_of_time(
    identities: Identities, data: st.DataObject
) -> None:
    number = data.draw(st.integers(0, identities.objects - 1))
    slots = identities.object_slots(number)
    assert set(identities.object_ids(slots)) == {identities.object_name(number)}
    assert (np.diff(identities.times(slots)) > 0).all()
    assert all(slot in identities.slots(identities.file_of(int(slot))) for slot in slots)


def test_an_objects_alerts_are_spread_over_the_files() -> None:
    identities = Identities("ztf", 7, 10 * EPOCHS)
    assert {identities.file_of(int(slot)) for slot in identities.object_slots(3)} == set(range(7))


def test_ids_look_like_the_surveys() -> None:
    ztf, lsst = Identities("ztf", 2, 280), Identities("lsst", 2, 280)
    slots = np.arange(560)
    assert all(len(str(alert)) == 19 for alert in ztf.alert_ids(slots))
    assert all(len(str(alert)) == 18 for alert in lsst.alert_ids(slots))
    assert all(len(name) == 12 and name.startswith("ZTF19") for name in ztf.object_ids(slots))
    assert all(name.isdigit() and len(name) == 18 for name in lsst.object_ids(slots))
    assert ztf.alert_ids(slots).max() < 2**63


@pytest.mark.parametrize(("files", "rows"), [(1, 13), (1, 0), (0, 14), (2, -14)])
def test_an_archive_that_cannot_be_is_refused(files: int, rows: int) -> None:
    with pytest.raises(ValueError, match="multiple of 14"):
        Identities("ztf", files, rows)


@pytest.mark.parametrize("survey", ["ztf", "lsst"])
def test_ids_grow_with_the_night(survey: str) -> None:
    identities = Identities(survey, 3, 140)
    alerts = identities.alert_ids(np.arange(420)).reshape(EPOCHS, identities.objects)  # a row a night
    assert (alerts.max(axis=1)[:-1] < alerts.min(axis=1)[1:]).all()
    assert (np.diff(alerts[0]) < 0).any()  # within a night in no order
