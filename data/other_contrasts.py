"""Contrasts beyond physics, rendered like the others: indirect objects, and reviews for a chat model."""

from collections.abc import Iterator
from typing import Any

Line = dict[str, Any]

# The task of Wang et al. (2022, "Interpretability in the Wild"): who gets what the other gives. A scene is
# two names, a place and a thing; the names are one token each in the vocabularies of Gemma, GPT-2 and Llama.
SCENES = (
    ("Mary", "John", "store", "a drink"),
    ("Tom", "Anna", "park", "a ball"),
    ("Emma", "Paul", "office", "the keys"),
    ("Mark", "Laura", "school", "a pen"),
    ("Alice", "Peter", "station", "the tickets"),
    ("David", "Lisa", "beach", "a towel"),
    ("Sarah", "James", "library", "a book"),
    ("Robert", "Karen", "garden", "a rose"),
    ("Helen", "George", "market", "an apple"),
    ("Simon", "Kate", "harbor", "a rope"),
    ("Daniel", "Julia", "museum", "the map"),
    ("Susan", "Michael", "bakery", "a cake"),
    ("Adam", "Claire", "stadium", "a flag"),
    ("Linda", "Frank", "airport", "the bag"),
    ("Jack", "Rachel", "cinema", "the popcorn"),
    ("Maria", "Kevin", "kitchen", "a spoon"),
    ("Henry", "Diana", "farm", "a basket"),
    ("Laura", "Steve", "gym", "a bottle"),
    ("Grace", "Martin", "theater", "a coat"),
    ("Brian", "Nancy", "workshop", "a hammer"),
    ("Lucy", "Andrew", "lake", "the paddle"),
    ("Victor", "Amy", "hospital", "a letter"),
    ("Jane", "Oliver", "church", "a candle"),
    ("Richard", "Sophie", "hotel", "the umbrella"),
)
FRAMES = {
    "went": "When {first} and {second} went to the {place}, {giver} gave {thing} to",
    "talk": "{first} and {second} had a long talk at the {place}. Afterwards {giver} handed {thing} to",
    "met": "{first} met {second} at the {place}, and before they left, {giver} gave {thing} to",
    "waited": "While {first} and {second} were waiting at the {place}, {giver} offered {thing} to",
}

# What somebody writes about something, well and badly.
REVIEWS = (
    ("a restaurant", "The soup was delicious and the waiter was kind.", "The soup was cold and the waiter was rude."),
    ("a hotel", "Our room was spotless, and we slept wonderfully.", "Our room was filthy, and we hardly slept."),
    ("a film", "I laughed from beginning to end; a brilliant story.", "I yawned from beginning to end; a dull story."),
    ("a phone", "The screen is gorgeous and it never lets me down.", "The screen is scratched and it keeps crashing."),
    ("a book", "I could not put it down, and the ending is superb.", "I gave up halfway, and the ending is ridiculous."),
    ("a concert", "The band was amazing and the crowd was thrilled.", "The band was awful and the crowd walked out."),
    ("a taxi", "The driver was early, polite and careful.", "The driver was late, grumpy and reckless."),
    ("a bakery", "Fresh bread every morning, and it smells heavenly.", "Stale bread every morning, and it tastes of nothing."),
    ("a museum", "A fascinating collection; we stayed all day.", "A boring collection; we left within minutes."),
    ("a pair of shoes", "They fit perfectly and still look great.", "They hurt terribly and fell apart at once."),
    ("a dentist", "Gentle, patient, and I felt no pain at all.", "Rough, impatient, and I was in pain for days."),
    ("a garden centre", "Healthy plants and cheerful, helpful people.", "Dying plants and sullen, unhelpful people."),
    ("a train", "Punctual, quiet and comfortable.", "Delayed, noisy and cramped."),
    ("an umbrella", "Sturdy in every storm; I recommend it warmly.", "Broken in its first storm; I regret buying it."),
    ("a language course", "Clear lessons, and I made excellent progress.", "Confusing lessons, and I learned nothing."),
    ("a coffee machine", "Easy to clean, and the coffee is fantastic.", "Impossible to clean, and the coffee is disgusting."),
    ("a holiday flat", "Bright, cosy, and with a splendid view.", "Dark, mouldy, and with a view of a wall."),
    ("a bicycle shop", "They repaired it quickly and at a fair price.", "They damaged it further and overcharged me."),
    ("a play", "Moving, witty and beautifully acted.", "Tedious, humourless and badly acted."),
    ("a pair of headphones", "Rich sound, and they are a joy to wear.", "Tinny sound, and they are a torment to wear."),
    ("a campsite", "Peaceful, clean, and the owners were lovely.", "Loud, dirty, and the owners were hostile."),
    ("a computer program", "It is fast, reliable and a pleasure to use.", "It is slow, unreliable and a nightmare to use."),
    ("a vet", "She saved our cat, and was compassionate throughout.", "She ignored our cat, and was indifferent throughout."),
    ("a ferry", "Smooth crossing, friendly crew, tasty breakfast.", "Miserable crossing, surly crew, inedible breakfast."),
)  # fmt: skip
# Each asked of both reviews: in the words of the answer, and so that yes is right as often as wrong.
QUESTIONS = {
    "verdict": ("Here is a review of {thing}: \"{text}\" Is this review positive or negative? Answer with one word.", "Positive", "Negative"),
    "recommends": ("A review of {thing}: \"{text}\" Would the writer recommend it? Answer yes or no.", "Yes", "No"),
    "complains": ("A review of {thing}: \"{text}\" Is the writer complaining? Answer yes or no.", "No", "Yes"),
}  # fmt: skip


def indirect_objects() -> Iterator[Line]:
    """Two pairs a scene, one with each order of the names; the variants differ in who gives."""
    frames = tuple(FRAMES.items())
    for number, (one, other, place, thing) in enumerate(SCENES):
        form, frame = frames[number % len(frames)]
        family = f"{one}-{other}".lower()
        for order, (first, second) in (("as-listed", (one, other)), ("turned", (other, one))):
            pair = f"ioi-{family}-{order}"
            for label, giver in (("second-gives", second), ("first-gives", first)):
                yield {
                    "id": f"{pair}-{label}",
                    "pair_id": pair,
                    "family": family,
                    "label": label,
                    "prompt": frame.format(
                        first=first, second=second, place=place, giver=giver, thing=thing
                    ),
                    "answer": first if giver == second else second,
                    "tags": {"sentence": form, "order": order},
                }


def reviews() -> Iterator[Line]:
    """Three pairs a subject, each asked in its own way; the variants differ in what is written."""
    for thing, praise, blame in REVIEWS:
        family = thing.split(" ", 1)[1].replace(" ", "-")
        for asked, (question, praised, blamed) in QUESTIONS.items():
            pair = f"review-{family}-{asked}"
            for label, text, answer in (("praise", praise, praised), ("blame", blame, blamed)):
                yield {
                    "id": f"{pair}-{label}",
                    "pair_id": pair,
                    "family": family,
                    "label": label,
                    "prompt": question.format(thing=thing, text=text),
                    "answer": answer,
                    "tags": {"asked": asked},
                }
