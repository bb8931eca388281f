"""Find a unit's facets and paint them: `python run.py model=… layer=… unit=… facets=…`."""

from mfv.cli import main

if __name__ == "__main__":
    main()
