"""Texts that have nothing to do with any prompt file of physics: into them tokens are put."""

from collections.abc import Iterator
from typing import Any

# No word of them, but the commonest of English, occurs in a prompt of physics; a test says so.
NEUTRAL = (
    ("breakfast", "My grandmother bakes pancakes every Sunday. She spreads plum jam on them, and we all gather in the kitchen."),
    ("library", "The librarian smiled and stamped our novels. Outside it was raining, so we stayed and read until supper."),
    ("garden", "Tulips bloom around the cottage in April. Our neighbour waters them at sunrise and hums a merry tune."),
    ("choir", "The choir rehearses on Thursdays. They sing hymns, and afterwards somebody serves biscuits and tea."),
    ("cat", "A grey cat sleeps on the sofa. When the doorbell rings she yawns, stretches, and licks her bowl."),
    ("wedding", "My niece got married in June. The bride wore ivory silk, and her uncles danced until dawn."),
    ("museum", "The gallery owns portraits of forgotten poets. Admission is cheap for children, pensioners and soldiers."),
    ("letter", "Dear Anna, thank you for your kind letter. We are well, and the twins miss you."),
    ("confectioner", "The confectioner makes marzipan and poppy cakes. He hates mornings and adores gossip."),
    ("election", "The council elected another mayor. She promised cheaper nurseries, greener parks and honest accounts."),
    ("painter", "He wanted his bedroom yellow. So he hung linen curtains, chose a carpet and invited his friends."),
    ("winter", "It snowed all January. The sisters knitted scarves, told each other stories and cooked lentil soup."),
    ("tailor", "The tailor mended my jacket. He sewed on ivory buttons and politely refused payment."),
    ("theatre", "The theatre performs comedies in autumn. Critics praised the actress, who forgot none of her jokes."),
    ("market", "Every Friday farmers offer cheese at the market. The honey is dear, but the apples are delicious."),
    ("school", "Our teacher loves butterflies. She explained their names, and the pupils drew them with crayons."),
    ("dentist", "The dentist was friendly and patient. My sister was nervous, but she felt no pain and laughed."),
    ("monks", "The monks brew ale and copy manuscripts. Visitors are welcome as long as they whisper."),
    ("fishermen", "Few fishermen live here. They smoke herring, milk sheep and celebrate midsummer with neighbours."),
    ("novel", "Her latest novel is about jealousy. It was translated into Danish, and reviewers adored its humour."),
    ("chemist", "The chemist is having lunch. You can ask the nurse for cough sweets, plasters or vitamins."),
    ("parliament", "Parliament debated the pension law. The opposition objected, and journalists asked many questions."),
    ("dog", "Our puppy chews slippers and barks at postmen. We love him anyway, because he is cheerful and loyal."),
    ("language", "They learn Polish in the evenings. Grammar is tricky, they say, but the vocabulary is beautiful."),
)  # fmt: skip


def neutral() -> Iterator[dict[str, Any]]:
    """Each text by its name."""
    for name, text in NEUTRAL:
        yield {"id": f"neutral-{name}", "prompt": text}
