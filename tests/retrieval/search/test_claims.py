import pytest

from chatbot.retrieval.claims import claims_more, find_numbers

SAME = [
    ("It has 1,500,000 readers.", "It has 1.5 million readers."),
    ("It runs at 3.5GHz.", "It runs at 3.5 GHz."),
    ("The ferry leaves at 7 every morning.", "The ferry leaves the harbour at seven."),
    ("It keeps tokens up to 90 % of the probability.", "It keeps tokens up to a share of 0.9."),
    ("About 1,000 people live there.", "The village has 1000 inhabitants."),
    ("The bakery is not open on Tuesdays.", "The bakery is closed on Tuesdays."),
    ("You do not have to wait.", "You need not wait for it."),
    ("No one may enter without a ticket.", "Nobody enters unless he has a ticket."),
    ("It does not work offline.", "It is unable to work offline."),
    ("Files that are hidden are not read.", "Hidden files are left out and never read."),
    ("The seed has no effect at 0.", "With a temperature of 0 the seed has no effect."),
    ("Normandy is a region of France.", "Normandy lies in the north of France."),
    ("The Normans' leader was Rollo.", "They were led by Rollo."),
    ("One of them is red.", "Of the two, the first is red."),
    ("The dog isn't allowed in.", "Dogs are forbidden inside."),
    ("The answer is on page 12 [3].", "See page 12."),
    ("It stops when you press Esc.", "Esc stops a running answer."),
    ("It is open on weekdays.", "It is not closed on weekdays but opens late."),
    ("Der Zug fährt um 7 Uhr vom Bahnhof ab.", "Um 7 Uhr fährt die Bahn am Gleis ab."),
    ("The museum doesn't charge children.", "Only adults pay for the museum."),
]

OTHER = [
    ("The top-p does not do anything.", "It keeps the fewest likeliest tokens."),
    ("The top-k does not do anything.", "It limits the choice; all others are dropped."),
    ("The ferry leaves at 8.", "The ferry leaves at seven."),
    ("It was built in 1991.", "It was built in 1990."),
    ("It needs 16GB of memory.", "It needs 8 GB of memory."),
    ("The ferry runs on Sundays.", "The ferry does not run on Sundays."),
    ("The bakery sells no bread.", "The bakery sells bread and cake."),
    ("Rollo was the king of Denmark.", "They were led by Rollo, a leader from the north."),
    ("The tower, in Berlin, is high.", "The tower is high."),
    ("He never wrote to her.", "He wrote to her each week."),
    ("It holds 50 % of the market.", "It holds a quarter of the market, or 25 %."),
    ("They can't swim.", "All of them can swim."),
    ("Chats are kept for thirty days.", "Chats are kept for 90 days."),
]


@pytest.mark.parametrize(("sentence", "passage"), SAME)
def test_what_says_the_same_passes(sentence: str, passage: str) -> None:
    assert not claims_more(sentence, passage, passage)


@pytest.mark.parametrize(("sentence", "passage"), OTHER)
def test_what_says_otherwise_is_seen(sentence: str, passage: str) -> None:
    assert claims_more(sentence, passage, passage)


def test_numbers_and_names_may_stand_anywhere_in_the_passage() -> None:
    passage = "In 1990 Anna came to Gullholm. She keeps bees there."
    assert not claims_more(
        "Anna keeps bees in Gullholm since 1990.", "She keeps bees there.", passage
    )


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1,000 and 2,5 and 3.50", {"1000", "2", "5", "3.5"}),
        ("90 %, 5 percent", {"0.9", "0.05"}),
        ("seven of twelve; one more", {"7", "12"}),
        ("16GB, 3.5GHz and 20ms, 90km/h", {"16", "3.5", "20", "90"}),
        ("two million, 1.5 Billion, a\nthousand", {"2000000", "1500000000", "1000"}),
        ("2nd, 1980s, 4.5K, 5m, 7B, 3x", set()),
        ("v2 and x86 and MiniLM-L6", set()),
        ("no number", set()),
    ],
)
def test_numbers_have_one_form(text: str, numbers: set[str]) -> None:
    assert find_numbers(text) == numbers
