"""From a spec to scorecards: `plan`, `runner`, `ledger`."""
