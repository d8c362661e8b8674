"""Images transferred, checked and put together as a snapshot."""
