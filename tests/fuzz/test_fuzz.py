"""Some hundred requests made out of the OpenAPI document; `make fuzz` sends as many as one likes."""

from collections.abc import Callable

from adapters.settings import Settings
from adapters.site import fresh_site
from tests.fuzz.run import asked, furnished, one_round, report

AT_LEAST = 250


def test_whatever_fits_the_document_or_not_is_answered_as_it_says(figure: Callable[[str], None]) -> None:
    """On a shop of its own: random requests change roles and close accounts. The seed is fixed.

    As those two alone: what others may not do they may not do, and starting costs seconds.
    """
    with fresh_site(Settings(max_open_orders=1_000_000), "fuzz") as site:
        shop = furnished(site)
        rounds = [
            one_round(shop, caller, seed=4, examples=2, phases="examples,fuzzing")
            for caller in ("customer", "staff")
        ]
    told = report(rounds)
    assert not any(each.failed for each in rounds), told
    assert asked(rounds) > AT_LEAST, told
    figure(f"fuzz: {told.splitlines()[-1]}")
