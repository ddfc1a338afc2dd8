"""What a shop decides: pure functions over frozen values, standard library only.

Every aggregate file has the same rooms in the same order: state, commands, events, evolve, decide.
No clock, id source, database, broker, thread or await: times and ids arrive inside commands.
"""
