fn state -> Map.update!(state, :guests, &["world" | &1]) end
