"""The playground: one picture over the air in the browser. `session` computes, `views` draws, `page` wires."""
