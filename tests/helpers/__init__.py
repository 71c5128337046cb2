"""What several test files share; a test file imports from here, and from no other test file.

cli            the command line, called in this process
files          folders of files that a test makes
documents      the commands, queries and links of the documents, and what it takes to try them
hub            what a process does that knows no hub but the tests' own
hub_child      what that process can be asked for
hub_server     the hub: as much of its protocol as a download needs
neuronpedia    Neuronpedia on loopback, and a clock that only sleeping moves
outcomes       an outcome with verdicts, made up
pages          a report as its elements
runs           runs: of a small random model, and of the organism
specs          specs, prompts and plans: small, and right as they are
stages         what a process prints that goes through a stage, for terminals and logs
store          what a results file holds, read and changed
victim         what runs in processes of its own, to be killed, locked out and starved
"""

from pathlib import Path

ROOT = Path(__file__).parents[2]
