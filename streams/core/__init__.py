"""Pure decisions. No clock, environment, randomness, logging, asyncio, files or network: `now` is an argument."""
