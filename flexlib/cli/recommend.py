"""`flexlib recommend`: what a saved model predicts a user to rate highest."""

import click

from flexlib.config import FlexError


@click.command()
@click.option("--model", required=True, metavar="FILE", help="written by flexlib train --save")
@click.option("--user", required=True, metavar="ID", help="the user's id as in the data set")
@click.option("-k", type=int, default=10, show_default=True, help="how many items")
def recommend(model: str, user: str, k: int) -> None:
    """List the items that a saved model predicts a user to rate highest."""
    from flexlib.serving.recommending import recommend as recommend_items
    from flexlib.storage.models import load_model

    if k < 1:
        raise FlexError(f"-k {k}: at least 1 is needed")
    table = recommend_items(load_model(model), user, k)
    table.index += 1
    print(table.to_string(float_format="{:.2f}".format))
