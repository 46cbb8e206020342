"""All steps in one: `mapping` runs tile, train, predict and evaluate, `mappingplan` says what they would do,
`mappingfolder` keeps what is done.
"""
