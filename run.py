"""Find a unit's facets and paint them: `python run.py model=… layer=… unit=… facets=…`."""

from mfv.program import main

if __name__ == "__main__":
    main()
