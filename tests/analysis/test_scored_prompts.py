"""Of a large file, shortcut scores are those of some families, whatever their order."""

from harness.analysis.scored_prompts import scored_prompts
from harness.specs.prompt_pairs import complete
from tests.helpers.specs import family_lines


def test_whole_families_are_taken_whatever_the_order_of_the_file():
    prompts, _ = complete("p", [*enumerate(family_lines(20), 1)], balanced=True)
    some = scored_prompts(prompts, most=10)
    assert len(some) == 20  # two pairs a family
    families = {prompt.family for prompt in some}
    assert len(families) == 5
    assert {one.id for one in scored_prompts(prompts[::-1], most=10)} == {one.id for one in some}
    assert scored_prompts(prompts, most=40) is prompts
    assert {one.family for one in scored_prompts(prompts, most=1)} <= families
