"""What the archive holds, read, chosen and kept in shards before anything is transferred."""
