"""Gait: the execution boundary for AI agents.

One tool call in, one signed verdict out.  The folders are the nouns of the command line,
on two foundations; an import goes only downwards:

    cli/        one file per noun of the command line, imported on use         L9
    service/    the decision API of `gait mcp serve`; doctor: self-checks       L8
    mcp/        between MCP clients and servers: stdio, HTTP, the bridge        L8
    hosts/      hooks of agent hosts, and their installation                    L8
    bridges/    other programs: the OpenClaw package                            L8
    judge       the one path from a call to a signed record
    store/      what Gait keeps on disk: keys, traces, the journal              L7
    system/     effects without Gait: files, clock, the HTTP listener           L6
    ======= everything below is pure: no clock, randomness, files, processes =======
    regress/    recorded runs as tests; guard/: evidence packs                  L5
    runpack/    verifiable packs of what an agent did                           L4
    adapters/   a framework's tool call -> IntentRequest                        L4
    exporters/  verified traces -> SIEM and OpenTelemetry lines                 L4
    gate/       intent, policy, evaluate -> Decision, trace                     L3
    signing/    keys and purpose-bound HMAC envelopes                           L2
    formats/    values without Gait: canonical JSON, strict JSON, YAML, times   L1
    errors      the one error tree                                              L0
"""

__version__ = "1.8.0"
