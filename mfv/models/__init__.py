"""Networks under study: how to get one, and how to speak of its layers and units."""
