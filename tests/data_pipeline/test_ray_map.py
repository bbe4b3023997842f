import pytest

from data_pipeline.ray_map import map_in_tasks


@pytest.mark.ray
def test_results_are_in_the_order_of_the_items(ray_local: str) -> None:
    assert map_in_tasks(lambda number: number**2, range(20)) == [number**2 for number in range(20)]


@pytest.mark.ray
def test_an_error_of_a_task_is_raised(ray_local: str) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        map_in_tasks(int, ["1", "one"])
