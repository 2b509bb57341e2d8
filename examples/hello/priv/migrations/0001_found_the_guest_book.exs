fn state -> Map.put(state, :guests, []) end
