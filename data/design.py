"""Which family is put into which lexical form, sentence and wording: balanced, and nothing random."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from data.scenarios import Scenario, load_scenarios, shuffled

FORMS = 12
SENTENCES = 4


@dataclass(frozen=True)
class Family:
    """A measured scenario and its place in the design.

    Attributes:
        form: the lexical form of the trait, and the pair of contexts that goes with it; 0 to 11.
        sentences: two of the four sentence forms, for the two conditions or occurrences of a question.
        scenes: the wordings of the situation that go with them.
        name: which of the two ways to name a speaker.
        number: its place among all families.
    """

    scenario: Scenario
    form: int
    sentences: tuple[int, int]
    scenes: tuple[int, int]
    name: int
    number: int


def families(table: str = "kinematics") -> Iterator[Family]:
    """Every measured scenario of a table.

    Each lexical form has as many families of each rank within a principle, and each sentence form
    goes with each lexical form equally often. No family has the form whose contexts are of its own
    principle.
    """
    measured = (scenario for scenario in load_scenarios(table) if not scenario.context)
    number = 0
    for at, (principle, group) in enumerate(groupby(measured, lambda s: s.principle)):
        half = at // FORMS % 2
        for rank, scenario in enumerate(shuffled(tuple(group), "design", principle)):
            first = (rank + half) % SENTENCES
            yield Family(
                scenario=scenario,
                form=(at + 1 + 3 * rank) % FORMS,
                sentences=(first, (first + 1 + (rank + at) % 3) % SENTENCES),
                scenes=((rank + at // 2) % 2, (rank + at // 2 + 1) % 2),
                name=(rank // 2 + at) % 2,
                number=number,
            )
            number += 1


def contexts(form: int) -> tuple[Scenario, ...]:
    """The two scenarios whose answers show the voice in this form; they are never measured."""
    kept = [scenario for scenario in load_scenarios() if scenario.context]
    return tuple(kept[form % FORMS :: FORMS])
