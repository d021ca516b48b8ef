from chatbot.retrieval.dividing import divide, thin


def test_even_parts_are_cheapest() -> None:
    # 400 tokens in steps of 50: with a limit of 250, two of 200 beat 250 and 150.
    counts = list(range(0, 401, 50))
    assert divide(counts, [0.2] * 9, 250, 220) == [4, 8]


def test_a_natural_end_outweighs_evenness() -> None:
    # Evenly: two passages 20 off, 2 * (20/220)^2 = 0.0165, and a break of 0.2.
    # At the paragraph's end: ((250-220)/220)^2 + ((150-220)/220)^2 = 0.1198, and a break of 0.
    counts = list(range(0, 401, 50))
    costs = [0.2] * 9
    costs[5] = 0.0
    assert divide(counts, costs, 250, 220) == [5, 8]


def test_what_cannot_be_divided_is_one_part() -> None:
    assert divide([0, 900, 950], [0.0, 0.2, 0.0], 250, 220) == [1, 2]
    assert divide([0, 10], [0.0, 0.0], 250, 220) == [1]


def test_of_near_breaks_the_cheapest_is_kept() -> None:
    assert thin([0, 20, 24, 28, 60, 100], [0, 0.6, 0.0, 0.6, 0.2, 0], 12) == [0, 2, 4, 5]
