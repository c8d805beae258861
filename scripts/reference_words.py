"""What a person has to write about the tables of live_tables.py; the test names each entry that is missing or no longer needed.

A line is `code | meaning | what to do`.  Where the last part is empty, docs/errors.md gives the error class's own next step.
"""

from __future__ import annotations


def table(text: str) -> dict[str, tuple[str, ...]]:
    """The lines of a table: first column -> the others."""
    rows = [[cell.strip() for cell in line.split(" | ")] for line in text.strip().splitlines()]
    return {row[0]: tuple(row[1:]) for row in rows}


# Error codes and the codes of findings, which the commands that verify list: the first one is the error's code.
CODES = table("""
accept_failed | the server could not take connections any more | raise the limit of open files, and start it again
address_in_use | another program listens on this address | choose another address, or stop that program
address_unusable | the system does not let this address be used | choose an address of this host, and a folder that is yours for a Unix socket
algorithm_not_supported | the signature names an algorithm that is not hmac-sha256 | verify it with the program that made it
already_signed | a document that is signed was given to be signed | give the unsigned document
ambiguous_frame | parsers could read this MCP message in different ways (a duplicate key, a folded name) | mend the client; the call was not forwarded
ambiguous_length | an HTTP request says its length twice, or in a way HTTP/1.0 has not | mend the client or the proxy before it
answer_unasked | a client answered a request that no server made | mend the client
approval_key_missing | approvals were given, and no key that they are verified by | add --approval-key
approval_not_found | the store holds no token or grant of this id | gait approvals list shows what it holds
approval_not_required | the decision of this trace is not require_approval | nothing is to be approved
approval_self_approved | who asked for a call cannot approve it | let another person approve
approval_token_malformed | the header holds no base64 of a token | send the file that gait approve --out made
approvals_mismatch | the approvals in an evidence pack are not those that its traces say | do not trust this pack
approvals_unreadable | the folder of approvals cannot be listed | check $GAIT_HOME and its permissions
archive_comment | the archive holds a comment | make the pack again
archive_truncated | the archive ends early | copy it again
args_digest_mismatch | the arguments in the pack do not have the digest that the step names | do not trust this run
bare_line_feed | an HTTP line ends in LF alone, which others read differently | mend the client
batch_refused | a JSON-RPC batch holds a tool call, or is no batch of this protocol's version | send one message at a time
bd_failed | bd ended in an error, or answered something else than issues | try again; `bd version` says whether it is Beads' bd
bd_missing | the program bd is not there | install Beads, or leave --live out
beads_not_initialised | bd has no database here | run bd init, or set BEADS_DIR
body_too_large | an HTTP body is larger than the server takes | send less, or raise the limit
broker_answer_invalid | the credential broker answered something else than a reference | mend the broker: docs say what it must print
broker_command_refused | this command cannot be a credential broker (a shell or an interpreter's -c) | give a script of your own
broker_env_missing | the environment variable with the credential is empty | set it
broker_off | a rule needs a credential, and no broker is configured | name one with --credential-broker
broker_request_too_large | the request to the credential broker is too large | shorten the rule's reference and scopes
call_not_json | a call from a program holds values that JSON has not | turn them into text first
call_without_id | a tool call has no id, so nobody would hear what was decided | send an id that is text or a whole number
candidate_invalid | the runpack to compare with does not verify | name a run that verifies
chain_mismatch | a record is of another chain than the folder it lies in | do not trust this journal
chain_missing | a head names a chain that is not there | look for the chain's folder: it was moved or deleted
client_path_refused | a client named a path that is outside of the folders it may write to | start the server with --allow-client-artifact-paths, or leave the path out
coding_unknown | an HTTP request is encoded in a way that the server does not read | send it chunked, or with a Content-Length
command_answer_too_large | a command printed more than its answer may hold | mend the command
command_failed | a command ended with another exit code than 0 | run it by hand to see why
command_missing | the command to run is not there | install it, or name another
command_not_started | the system could not start the MCP server's command | check the command and its path
command_timeout | a command did not end in time | run it by hand to see why
command_too_deep | a shell command nests too deeply to be read | send a simpler command
command_too_long | a shell command is too long to be read | put it into a script, and let the policy name that script
config_forbids | OpenClaw's configuration forbids the plugin | allow gait-gate in that configuration, and install again
config_left_alone | OpenClaw's configuration could not be edited safely, and was left as it is | make the edit by hand: the message shows it
config_not_json | gait.yaml of a regression is not in its JSON form | run gait regress init again, or mend the file
config_untrusted | a trusted .gait/config.yaml, or a file in its project that it names, was changed, or is gone | look at it, then: gait config trust; or gait config trust --remove
confirmation_refused | the person at the terminal did not confirm | nothing was made
confirmation_required | an approval needs a person at a terminal | run it in a terminal, or add --yes if you are sure
content_changed | a file changed while it was being packed | pack it again
counters_unusable | the store of counters cannot be read or written, so no allow can be counted | check $GAIT_HOME, its permissions and the free space
decision_mismatch | the decision kept in the pack is not that of the step | do not trust this run
decision_not_found | the journal holds no decision with this trace_id | copy it from the refusal, and name the journal of that evaluator
digest_mismatch | the document was changed after it was signed | do not trust this document
directory_malformed | the archive's directory cannot be read | copy the archive again
document_malformed | a document in the pack is not of the expected form | do not trust this pack
document_too_large | a document in the pack is larger than allowed | do not trust this pack
download_refused | the server answers with something else than the file | check the address
download_too_large | a file of a pack is larger than allowed | do not install it
download_unavailable | the server does not give the file now | try again later; with --pin, the cache stands in
duplicate_id | a request has the id of one that is not answered yet | wait for the answer, or use another id
edit_refused | a settings file could not be edited without changing something else | edit it by hand
entries_overlap | two entries share bytes of the archive | do not trust this archive
entries_unsorted | the archive's entries are not in order | make the pack again
entry_comment | an entry has a comment | make the pack again
entry_compression_unknown | an entry is packed by another method than stored or deflated | make the pack again
entry_crc_mismatch | an entry's bytes do not have its checksum | copy the archive again
entry_data_malformed | an entry's packed bytes cannot be unpacked | copy the archive again
entry_digest_mismatch | an entry's bytes do not have the digest that the manifest lists | do not trust this pack
entry_directory | an entry is a folder | make the pack again
entry_encrypted | an entry is encrypted | decrypt it first
entry_extra_field | an entry has an extra field | make the pack again
entry_flags_unknown | an entry has flags that no reader agrees on | make the pack again
entry_header_mismatch | an entry is described in two different ways | do not trust this archive
entry_metadata | an entry has another date, mode or version than every pack of Gait's | make the pack again
entry_missing | the manifest lists an entry that is not there | do not trust this pack
entry_name_invalid | an entry's name holds other characters than plain ones | do not unpack this archive
entry_not_a_file | an entry is a device, pipe or socket | do not unpack this archive
entry_path_absolute | an entry's name begins with / | do not unpack this archive
entry_path_backslash | an entry's name holds a backslash | do not unpack this archive
entry_path_drive | an entry's name begins with a drive letter | do not unpack this archive
entry_path_traversal | an entry's name leads out of the folder | do not unpack this archive
entry_repeated | two entries have one name | do not unpack this archive
entry_size_mismatch | an entry has another size than it says | copy the archive again
entry_symlink | an entry is a symbolic link | do not unpack this archive
entry_too_large | an entry is larger than 512 MiB | record less in one pack
entry_unlisted | an entry is not in the manifest | do not trust this pack
event_too_large | a hook's event is larger than 16 MiB | the call is refused; look at what the host sent
event_unreadable | a hook's standard input cannot be read | the call is refused; the host has to send its event
expectation_unknown | an HTTP request expects something that the server does not do | leave the Expect field out
file_exists | there is a file of this name already | name another file, or remove that one
file_missing | a file that a package's manifest lists is not there | do not use this package
file_modified | a file of a package is not the one that was signed | do not use this package
file_name_invalid | a package holds a file whose name no manifest can list | rename it or take it away
file_not_found | a file or folder is not there | check the path
file_too_large | a file is larger than its kind may be | name a smaller file
file_unlisted | a package holds a file that its manifest does not list | do not use this package
fixture_mismatch | the fixture's folder and its document disagree about its name | make the fixture again
frame_too_large | an MCP message is larger than the gate takes | send less, or raise --max-frame-bytes
head_invalid | a journal's signed head does not verify | do not trust this journal; verify it with the ring that signed
head_malformed | a journal's head is not of the expected form | do not trust this journal
head_mismatch | a journal's head and its records disagree | do not trust this journal
head_missing | a finished part of a journal has no signed head | look for the file: without it nothing proves that the end is whole
head_stale | a newer head was there before this one | restore the newest journal; an old copy was put back
header_mismatch | an HTTP header and the message in the body disagree | mend the client
headers_too_large | an HTTP request has too many or too long header fields | send fewer
heartbeat_missing | for longer than its heartbeat the server gave no sign of life (a gap, no damage) | find out what ran then: nobody was on guard
hidden_bytes | bytes lie between the archive's entries | do not trust this archive
home_missing | there is no home folder | set HOME or GAIT_HOME
host_not_allowed | a pack's address is on a host that is not allowed | add --allow-host if you trust it
https_required | a pack's address is not https | name its https address
incomplete_frame | an MCP message ended early | mend the client or the server that closed
incomplete_request | an HTTP request ended early | send the whole request
integer_out_of_range | a whole number is beyond 2^53-1, so that two calls could share one digest | send it as text
intent_digest_mismatch | the intent in the pack does not have the digest that the step names | do not trust this run
intent_repeated | two steps of the pack have one intent id | do not trust this run
internal_failure | a fault in Gait itself; the call counts as refused | report it with the command line
invalid_address | this is no address that can be used here | give host:port with a loopback host, or unix:/path
invalid_call | a framework's tool call has another shape than its adapter reads | send the shape in the message, or name another --adapter
invalid_config | a file that describes meta-tools is not as it should be | mend the field in the message
invalid_input | a value is not acceptable | correct the value in the message
invalid_line_count | a stream of calls holds no line, or too many | send 1 to the number of lines in the message
invalid_policy | the policy is not acceptable: an unknown key or word, or a value of another type | correct the place in the message; gait policy validate FILE
invalid_usage | the command line is not acceptable | see --help of the command
journal_changed | the journal's files changed under its writer | find out who wrote there; start the writer again
journal_closed | something was to be recorded after the journal was closed | start the writer again
journal_empty | there is no journal in this folder | name the folder that --journal named
journal_in_use | another process writes this chain | stop it, or name another --chain or folder
journal_missing | the journal's folder is gone | put it back, and start the writer again
key_malformed | this is no key: a line of base64 of 32 or more bytes, or a key ring | make one: gait keys init
key_missing | no key was found | name one, or make one: gait keys init
key_mode_mismatch | --key-mode dev and a named key exclude each other | add --key-mode prod, or leave the key out
key_purpose_mismatch | the ring is for another purpose | name the ring of the right purpose
key_required | --key-mode prod needs a key | add --private-key or --private-key-env
key_unknown | no key of this ring made the signature | verify with the ring that signed, retired keys included
keyring_exists | there is a key ring in this place already | rotate it, or name another file
keyring_invalid | the key ring's document is not as it should be | mend the field in the message, or restore the file
leading_junk | bytes lie before the archive | do not trust this archive
length_required | an HTTP request has no length | send a Content-Length
line_not_canonical | a journal's line is not in its canonical form | do not trust this journal
line_not_json | a journal's line is no JSON | do not trust this journal
line_too_long | a line is longer than allowed | do not trust this document
line_unfinished | the last line has no end | do not trust this document
lines_skipped | lines were left unread after too many faults | do not trust this document
link_broken | a record does not follow the one before: something was changed, removed or put in | do not trust this journal
lock_changed | gait.lock changed while it was being written anew | run the command again
lock_edited | gait.lock was edited by hand | run gait mcp lock again, and read what changed
lock_timeout | another process holds the lock | try again; find out which process holds it
log_invalid | a file holds no event of a log of commands | name a file that GAIT_ADOPTION_LOG or GAIT_OPERATIONAL_LOG named
malformed_chunk | a chunked HTTP body is not as it should be | mend the client
malformed_frame | an MCP message is no JSON-RPC 2.0 | mend the client or server; nothing was forwarded
malformed_header | an HTTP header field is not as it should be | mend the client
malformed_host | the Host field is missing or not as it should be | send one Host field
malformed_length | the Content-Length is no number | send decimal digits
malformed_request_line | the first line of an HTTP request is not as it should be | send METHOD /path HTTP/1.1
manifest_digest_mismatch | the manifest does not have the digest that it names | do not trust this pack
manifest_invalid | a package's manifest is missing, malformed or not its own | install or sign it again
manifest_missing | there is no manifest | this is no pack, or a part of one
meta_tool_unreadable | a tool that calls other tools has arguments that cannot be read | the call is refused; check --config
method_not_allowed | this address takes another HTTP method | use the method in the Allow field
method_unknown | this is no HTTP method | use GET or POST
missing_dependency | a program, module or key that is needed is not there | provide it and try again
multi_disk | the archive is split | join its parts
no_fixtures | there is no regression fixture here | run gait regress bootstrap or init
no_watcher | the process that ends the server's children could not be started | check the system's limits
non_loopback_refused | other hosts could reach this address without a token | listen on 127.0.0.1 or unix:/path, or give --allow-non-loopback and --auth-token-env
not_a_folder | a file is where a folder belongs | name a folder
not_a_regular_file | this is a folder, device, pipe or link | name a regular file
not_acceptable | the client takes none of the answers that there are | send Accept: application/json, text/event-stream
not_an_archive | the file is no ZIP archive | name a runpack or an evidence pack
not_canonical | a document is not in its canonical form | do not trust this pack
not_found | there is no such endpoint or upstream | see docs/serve.md
not_json | a document in the pack is no JSON | do not trust this pack
not_stopped | a server's last record is not that of its end: it was killed or is still running (a gap, no damage) | find out what ran after it
nothing_drifted | no decision differs, so there is nothing to accept | nothing is to be done
nothing_evaluated | nothing in the records could be evaluated | record with --capture reference or raw
nothing_selected | no record matches the selection | widen it
origin_not_allowed | a web page of another origin called | web pages may not call this server
output_failed | a hook's answer could not be written, so the host must not run the tool | look at the host: it closed the stream
package_invalid | a package holds something else than regular files | copy the checkout anew
package_missing | the folder skills/ is not beside this Gait | run it from a checkout or the vendored folder
package_not_installed | the cache holds no such package | gait registry install
parse_error | the bytes are no document of this format | correct the place in the message
path_not_found | a pack's value has no member of this path | check the path against the recorded value
path_required | the command needs --path | name the key ring
permissions_too_open | others can read or write this file or folder | run the chmod in the message
pin_malformed | a pin is not sha256: and 64 hex digits | copy the pin that the publisher gives
pin_mismatch | a package is not the pinned one | do not install it; ask the publisher which of the two is right
pin_missing | an installed package has no pin | install it again
policy_missing | no policy is named, and none is where it should be | name one with --policy
policy_not_loaded | the newest policy file is refused, and there is none before it | mend it; gait policy validate FILE
predicate_not_shown | the predicate does not hold for the whole run, so there is nothing to reduce | name a predicate that the run shows
profile_not_met | the options or the policy are not what --profile oss-prod asks for | the message names all that is missing; see docs/config.md
public_key_malformed | this is no Ed25519 public key | name the file with the key
publisher_not_allowed | the pack's publisher is not listed | add it to --publisher-allowlist if you trust it
purpose_required | a key ring of more than one purpose is not meant here | name --purpose
python_unknown | this Python or this copy of Gait cannot be named in a hook's line | run Gait by an absolute path; a zip application's name ends in .pyz
real_tools_refused | a replay would run real tools | add the options in the message, in a sandbox
record_malformed | a journal's record is not of the expected form | do not trust this journal
record_out_of_order | a journal's record has a sequence number out of order | do not trust this journal
record_repeated | a journal's record is there twice | do not trust this journal
record_too_large | a record is too large for a journal's line | send a smaller call
records_missing | records are missing from a journal | do not trust this journal
redirect_refused | the server redirects, which is not followed | name that address, and allow its host, if you trust it
repeated_header | an HTTP header field is there twice | mend the client
request_timeout | an HTTP request took too long to arrive | send it faster
result_digest_mismatch | a result in the pack does not have the digest that the step names | do not trust this run
result_repeated | two results of the pack are of one step | do not trust this run
result_without_intent | a result of the pack is of no step | do not trust this run
run_ambiguous | more than one run has this name | name the file
run_changed | the pack changed while it was read | verify it again
run_id_mismatch | the documents of a pack name different runs | do not trust this run
run_incomplete | a pack lacks its run, its refs or its manifest | do not trust this run
run_mismatch | the run in an evidence pack is not the one that its manifest names | do not trust this pack
run_without_times | the run has no times, so what happened around it cannot be found | name --journal records by their time
runpack_refused | a client asked for a runpack, and the server has no place for it | start the server with --runpack-dir
salt_invalid | a salt is no 32 or more hexadecimal digits | make one: see --help
segment_missing | a part of a journal is missing | do not trust this journal
segment_truncated | a finished part of a journal is shorter than its head says | do not trust this journal
segment_unreadable | a part of a journal cannot be read | check the path and its permissions
self_test_failed | the server's own test decision did not come out as it must, so it serves nothing | mend the policy or the key that the message names
server_busy | the MCP server has too much to do | try again
server_ended | the MCP server ended | look at its own log; start it again
server_unavailable | the MCP server could not be asked for its tools | check its command or address
session_missing | a message names no MCP session, or one that has ended | begin with initialize
settings_not_json | the host's settings file is no strict JSON, and was left as it is | add the hook by hand (docs/hooks.md)
signature_malformed | a signature is not of the expected form | do not trust this document
signature_mismatch | the signature is not that of this document and key | do not trust this document
signature_missing | the document is not signed | do not trust this document
signature_stale | a pack's signature is of an older manifest | do not trust this pack
sqlite3_missing | this Python has no sqlite3 module, which keeps the counters | use a Python with sqlite3
step_not_found | the run has no such step | gait run inspect lists them
step_too_large | a step is too large for a pack | record less
stop_not_found | what is to be resumed is not stopped | gait stop --list shows what is
storage_failed | a file could not be read, written or locked | check the path, its permissions and the free space
stream_closed | a hook's standard input or output is closed | the host has to give one
summary_mismatch | an evidence pack's summary is not what its records give | do not trust this pack
symlink_refused | a symbolic link is where a file belongs | put the file there
sync_failed | the disk did not confirm a write, so nothing is allowed until it does | check the disk
tail_truncated | a journal's end was cut off | do not trust this journal; what was proven by the head is gone
target_not_a_path | an HTTP request names another server | this server is no proxy
target_refused | this folder is not the installer's to write to | name another folder, or move that one away
target_too_long | an HTTP request's first line is too long | send less in it
tls_files_unusable | a certificate or its key cannot be used | check both files
token_missing | the environment variable with the bearer token is empty | set it
too_deep | arguments nest too deeply to be looked through | send a flatter call
too_many_alternatives | a shell command stands for too many words to look at | send a simpler command
too_many_approvals | more approvals than are looked at | clear old ones; gait approvals revoke
too_many_connections | the server has as many connections as it takes | try again, or raise --max-connections
too_many_decisions | more refused decisions than can be looked at | name a later --since
too_many_entries | an archive has too many entries | record less in one pack
too_many_files | a folder holds more files than a package may have | name the package's own folder
too_many_projects | more projects are trusted than are kept | gait config trust --remove in old ones
too_many_requests | a session has too many requests that are not answered | wait for answers
too_many_sessions | the gateway has as many sessions as it takes | end some, or raise --max-sessions
too_many_signatures | a manifest has too many signatures | do not trust this pack
too_many_steps | a run has too many steps | take a part of it
too_many_projects | more projects are trusted than are kept | remove some: gait config trust --remove
too_many_stops | more things are stopped than a state holds | stop all, or resume what need not be stopped any more
too_many_targets | a call names too many targets to look at | split the call
too_many_traces | one decision has too many trace files | clear $GAIT_HOME/traces of old ones
tool_missing | a replay has no command for this tool | name one with --tool
tool_name_ambiguous | two tools of a server have names that look alike | mend the server
tool_not_gated | a tool of the framework runs where Gait is not asked first | use the kinds of tools that docs name
tools_changed | the server's tools are not those of gait.lock | read what changed; accept it with gait mcp lock --accept
tools_list_invalid | the server's list of tools is not as it should be | mend the server
torn_line | a journal's line was cut off by a crash, and set aside (no damage) | nothing is to be done
total_too_large | an archive is larger than allowed when unpacked | record less in one pack
trace_foreign | an evidence pack's decision is not one of its run | do not trust this pack
trailing_junk | bytes lie after the archive | do not trust this archive
unauthorized | the bearer token is missing or another one | send Authorization: Bearer with the server's token
unknown_adapter | there is no adapter of this name | use one of those in the message
unsafe_operation | Gait refuses to do it in this form | choose a form that keeps what is there
unsupported_media_type | the body is of another media type than the endpoint reads | set Content-Type to the one in the message
upstream_answer_malformed | the server's HTTP answer cannot be read | look at the server
upstream_answer_too_large | the MCP server's answer is larger than the gate takes | ask for less, or raise --max-frame-bytes
upstream_closed | the MCP server, or a registry's, closed the connection before its answer was whole | look at the server; whether the call ran is not known
upstream_content_type | the MCP server answers with another media type than the protocol has | look at the server
upstream_redirects | the MCP server redirects, which is not followed | name the final address
upstream_timeout | the MCP server, or a registry's, did not answer in time | look at the server; whether the call ran is not known
upstream_unreachable | the MCP server, or a registry's, cannot be reached | check its address
upstream_untrusted | the server's certificate is not trusted | name its certificate authority, or mend the server
value_mismatch | the value is not the one that was redacted | the claim does not hold
verification_failed | a document did not prove what it claims | do not trust this document
version_changed | an installed version is offered with another content | ask the publisher; then name the right one with --pin
version_not_supported | an HTTP version that the server does not speak | use HTTP/1.1
weak_key | the key has too few bytes | make one: gait keys init
wrong_owner | another user owns this file or folder | run as that user, or run the chown in the message
zip64 | the archive is of the ZIP64 form | record less in one pack
""")

# HTTP statuses that an answer sets itself, in place of its error class's.
STATUSES = {"not_found": 404, "method_not_allowed": 405, "not_acceptable": 406, "unsupported_media_type": 415}

# Reason codes and violations: `code | which | meaning | what to do`; which is reason, violation or both.
REASONS = table("""
approval_chain_insufficient | reason | some approvals count, and more are needed | let as many people approve as the answer says
approval_distinct_approvers_required | reason | the approvals that count are of one person | let different people approve
approval_granted | reason | the approvals that the rule asks for were there | nothing is to be done
approval_grant_approver_mismatch | reason | a grant names another approver than its key belongs to | make it again with the approver's own key
approval_grant_expired | reason | a standing grant has expired | make a new one
approval_grant_invalid | reason | a grant's document is not as it should be | make it again
approval_grant_not_exact | reason | this call needs an approval of its own, since its dataflow or endpoint asks for one | approve the call itself
approval_grant_not_yet_valid | reason | a grant does not hold yet | wait for its not_before
approval_grant_policy_mismatch | reason | a grant is for another policy | make a new one
approval_grant_revoked | reason | a grant was taken back | make a new one
approval_grant_self_approved | reason | a grant is of the caller itself | let another person approve
approval_grant_signature_invalid | reason | no approval key made a grant's signature | give the approver's key ring with --approval-key
approval_grant_signature_missing | reason | a grant is not signed | make it with gait approve
approval_grant_used | reason | all uses of a grant are taken | make a new one
approval_key_missing | reason | the call needs an approval, and the gate has no key to verify one | give --approval-key
approval_key_unusable | both | the approval key cannot be read | mend the key ring: gait keys verify
approval_not_granted | violation | the call needs an approval and has none that counts | let a person approve it
approval_standing_grant | reason | a standing grant has helped to allow the call | nothing is to be done
approval_store_unavailable | both | the use of an approval could not be recorded, so it does not count | check $GAIT_HOME, its permissions and the free space
approval_token_approver_mismatch | reason | a token names another approver than its key belongs to | make it again with the approver's own key
approval_token_expired | reason | a token has expired | let it be approved again
approval_token_intent_mismatch | reason | a token is for another call | send the call exactly as it was approved
approval_token_invalid | reason | a token's document is not as it should be | send the file that gait approve made
approval_token_missing | reason | no approval was given | let a person approve it, and send the token with the same call
approval_token_not_yet_valid | reason | a token does not hold yet | wait for its not_before
approval_token_policy_mismatch | reason | a token is for another policy | let it be approved again
approval_token_revoked | reason | a token was taken back | let it be approved again
approval_token_scope_mismatch | reason | a token is for other tools | let it be approved for this tool
approval_token_self_approved | reason | a token is of the caller itself | let another person approve
approval_token_signature_invalid | reason | no approval key made a token's signature | give the approver's key ring with --approval-key
approval_token_signature_missing | reason | a token is not signed | make it with gait approve
approval_token_used | reason | all uses of a token are taken | let it be approved again
broker_credential_missing | violation | the call needs a credential, and none was issued | give the gate a broker
broker_credential_present | reason | a credential was issued; the record holds its reference, never the secret | nothing is to be done
broker_credential_required | reason | the rule allows the call only with a brokered credential | give the gate a broker
budget_amount_invalid | both | the argument that the budget counts is no number of zero or more | send it as a JSON number
budget_amount_missing | both | the argument that the budget counts is missing | send it
dataflow_tainted_destination | reason | an argument came from a tainted source (external, tool_output) and goes to a destination that the rule names | let a person look at the content, or change the rule's dataflow
destructive_operation | violation | a target would be deleted, overwritten or executed | change the call, or the rule's endpoint.destructive_action
endpoint_class_unknown | violation | a target's endpoint class is not known, and fail_closed asks for it | give the target a kind and an operation, or a rule's class
endpoint_constraint_violation | both | a constraint of the rule's endpoint holds (the rule's own words may stand here) | read the more exact code beside it
endpoint_destructive_operation | reason | a target would be deleted, overwritten or executed | change the call, or the rule's endpoint.destructive_action
endpoint_domain_denied | both | a host is in the rule's domain_denylist | use another host, or change the list
endpoint_domain_not_allowlisted | both | a host is not in the rule's domain_allowlist | use a host of the list, or add it
endpoint_domain_unknown | both | a host cannot be determined, so no list can hold it | write the URL plainly
endpoint_egress_class_not_allowed | both | the call reaches the network in a way that egress_classes does not list | use a class of the list, or add it
endpoint_path_denied | both | a path is in the rule's path_denylist, as written or resolved | use another path, or change the list
endpoint_path_not_allowlisted | both | a path is not in the rule's path_allowlist once resolved | use a path of the list, or add it
evaluation_failed | both | a fault in the evaluation, which counts as a block | report it with the call and the policy
fail_closed_endpoint_class_unknown | reason | fail_closed applies to this risk class, and a target's endpoint class is not known | give the target a kind and an operation
fail_closed_intent_invalid | reason | fail_closed applies to this risk class, and the call could not be read as an intent | correct the call: the answer names the place
fail_closed_missing_arg_provenance | reason | fail_closed asks for arg_provenance, and there is none | send arg_provenance
fail_closed_missing_endpoint_class | reason | fail_closed asks for endpoint classes, and a target has none | give the target a kind and an operation
fail_closed_missing_targets | reason | fail_closed asks for targets, and there are none | send targets, or arguments that name them
intent_not_evaluable | violation | the call could not be read as an intent | correct the call: the answer names the place
missing_arg_provenance | violation | arg_provenance is missing | send arg_provenance
missing_endpoint_class | violation | a target has no endpoint class | give the target a kind and an operation
missing_targets | violation | there are no targets | send targets, or arguments that name them
budget_exceeded | both | the total of the argument that the rule's budget counts would pass its limit | wait for the next window, or change the budget
rate_limit_exceeded | both | the rule allows so many calls in a window, and they have been made | wait for the next window, or change the rate limit
rate_limit_unavailable | both | calls could not be counted, so none is allowed | check $GAIT_HOME, its permissions and the free space
simulate_mode_non_enforcing | reason | --simulate: the call was allowed whatever the policy says | run it without --simulate to enforce
simulated_allow | reason | --simulate: the verdict would have been allow | nothing is to be done
simulated_block | reason | --simulate: the verdict would have been block | nothing is to be done
simulated_dry_run | reason | --simulate: the verdict would have been dry_run | nothing is to be done
simulated_require_approval | reason | --simulate: the verdict would have been require_approval | nothing is to be done
skill_unverified | both | the package that calls come from (--skill) does not verify now | gait skill verify says why; restore or sign it anew
stop_state_invalid | both | the state of the kill switch is missing, or cannot be read or verified, so everything is stopped | restore it, or gait resume --reset
stopped | both | the kill switch holds the call back | gait stop --list shows it; gait resume takes it back
stopped_all | both | everything is stopped | gait resume --scope all
stopped_identity | both | the caller is stopped | gait resume --scope identity NAME
stopped_session | both | the session is stopped | gait resume --scope session ID
stopped_tool | both | the tool is stopped | gait resume --scope tool NAME
tainted_dataflow | violation | tainted data would reach a destination that the rule names | let a person look at the content
tool_definition_changed | both | the tool is not as gait.lock pins it | read what changed; accept it with gait mcp lock --accept
tool_definition_unseen | both | gait.lock pins the tool, and the server has not listed it | let the server list its tools
tool_name_ambiguous | both | another tool of the server has a name that looks like this one | mend the server
tool_not_in_lock | both | gait.lock does not hold the tool | accept it with gait mcp lock --accept
""")

# Other words of the deciding modules: statuses, names of columns, and (FIELDS) names of fields that no document class has.
NO_REASONS = table("""
intent_invalid | a status of gait policy simulate
no_decision | a status of gait policy simulate
not_by_policy | a status of gait policy simulate
not_captured | a status of gait policy simulate
rule_after | a column of gait policy simulate
rule_before | a column of gait policy simulate
verdict_after | a column of gait policy simulate
verdict_before | a column of gait policy simulate
""")

# Codes that are put together: each of these words after each beginning that has an entry in REASONS.
BEGINNINGS = ("approval_token_", "approval_grant_", "stopped_", "simulated_")
ENDINGS = frozenset("approver_mismatch intent_mismatch not_exact not_yet_valid policy_mismatch scope_mismatch self_approved signature_invalid signature_missing".split())

FIELDS = frozenset("at_least at_most intent_digest_basis require_approval schema_version simulated_verdict tool_identity tool_output".split())

# Environment variables that Gait reads: `name | meaning`.
VARIABLES = table("""
BD_ACTOR | Gas Town's name for the agent: the identity of a `gait hook gastown` that is given none, and who files with `gait beads`
BD_NON_INTERACTIVE | set for bd, so that it never asks
BEADS_DIR | the .beads folder, for `gait beads --live`
BEADS_NO_DAEMON | set for bd, so that it starts no daemon
CLAUDE_CODE_SAFE_MODE | starts Claude Code without hooks; the doctor says so when it finds it in settings
CLAUDE_CODE_SIMPLE | the same
CLAUDE_CONFIG_DIR | Claude Code's folder of settings, for `gait hook install claude-code` and the doctor
CODEX_HOME | Codex's folder of settings, for `gait hook install codex` and the doctor
COPILOT_HOME | Copilot's folder of settings, for `gait hook install copilot` and the doctor
GAIT_ADOPTION_LOG | absolute path of a log of commands that is made to be handed on (docs/metrics.md); off when unset
GAIT_HOME | Gait's own folder (default `~/.gait`): dev key, traces, journals, counters
GAIT_OPERATIONAL_LOG | absolute path of a log of commands with times (docs/metrics.md); off when unset
GT_HOME | Gas Town's folder, for `gait hook install gastown` and the doctor
GT_RIG | Gas Town's rig: with GT_ROOT the workspace of a `gait hook gastown` whose event has none
GT_ROLE | Gas Town's role: the identity where there is no BD_ACTOR
GT_ROOT | Gas Town's root folder, for the workspace and the doctor
HOME | where `~/.gait` and the hosts' settings are, when their own variables are unset
LANG | handed to the tools of `gait run replay`
LC_ALL | handed to the tools of `gait run replay`
NO_COLOR | no colours on a terminal, when set to anything
OPENCLAW_CONFIG_PATH | OpenClaw's configuration file, for `gait openclaw`
OPENCLAW_HOME | the home folder that OpenClaw uses, for `gait openclaw`
OPENCLAW_PROFILE | OpenClaw's profile, for `gait openclaw`
OPENCLAW_STATE_DIR | OpenClaw's folder, for `gait openclaw`
PATH | where programs such as `openclaw`, `codex` and MCP servers are found
SOURCE_DATE_EPOCH | seconds since 1970 that stand in for the clock, so that the same run gives the same bytes
SYSTEMROOT | handed to the tools of `gait run replay`
TERM | `dumb`: no colours, no progress
TMPDIR | handed to the tools of `gait run replay`
""")

# What each command's exit codes mean, beside 1 (internal failure, or a disk that refuses) and 6 (bad usage or input), which all have.
_VERDICT = "0 allow, 3 block, 4 approval required, 9 dry run"
_VERIFY = "0 verified, 2 verification failed, 7 no key to verify with"
_HOOK = "0 the host has its answer, 2 the host must refuse the tool; no other"
_DONE = "0 done"
EXIT_CODES = {
    "demo": _DONE,
    "gate eval": _VERDICT,
    "mcp proxy": _VERDICT,
    "mcp bridge": _VERDICT,
    "mcp serve": "0 ended in order, 2 the self-test failed, 7 no key or token, 8 an address that others could reach",
    "mcp wrap": "the server's own, 128 + N when signal N ended it; 2, 7 and 8 before it is started",
    "mcp lock": "0 written or unchanged, 2 the tools changed or the lock was edited, 7 the server could not be asked",
    **{f"hook {host}": _HOOK for host in ("claude-code", "codex", "gemini", "copilot", "openclaw", "gastown")},
    "hook install": "0 installed or as it should be, 7 no key, 8 settings that are left as they are",
    "hook uninstall": "0 taken out or not there, 8 settings that are left as they are",
    "policy init": _DONE,
    "policy validate": "0 valid",
    "policy fmt": "0 formatted, 8 --write would lose comments",
    "policy test": "0 every answer is as expected, 5 one is not",
    "policy simulate": "0 simulated; with --fail-on also 5, a decision changed",
    "policy explain": "0 shown, whatever the verdict",
    "trace verify": _VERIFY,
    "trace show": "0 shown",
    "journal verify": _VERIFY,
    "journal tail": "0 ended, 2 a record does not verify",
    "journal export": "0 exported, 2 a record does not verify",
    "journal stats": "0 counted, 2 a record does not verify",
    "run record": "0 recorded, 2 the journal does not verify",
    "run inspect": "0 shown, 2 the run does not verify",
    "run diff": "0 no difference, 2 a difference, or a run does not verify",
    "run replay": "0 replayed, 2 a result is missing or the run does not verify, 7 a tool is missing, 8 real tools refused",
    "run reduce": "0 reduced, 2 the run does not verify, 7 the command is missing",
    "run prove": "0 it is the value, 2 it is not",
    "regress init": "0 made, 2 the run does not verify",
    "regress run": "0 as expected, 2 a fixture does not verify, 5 a regression",
    "regress bootstrap": "0 made and as expected, 2 the run does not verify, 5 a regression",
    "regress accept": "0 accepted, 2 a fixture does not verify",
    "verify": _VERIFY,
    "guard pack": "0 packed, 2 the run or the journal does not verify",
    "guard verify": _VERIFY,
    "incident pack": "0 packed, 2 the run or the journal does not verify",
    "report": "0 written, 2 the journal does not verify",
    "keys init": _DONE,
    "keys rotate": _DONE,
    "keys list": _DONE,
    "keys verify": "0 usable, 2 a finding",
    "skill sign": "0 signed or listed, 2 the given signature is not of this package, 7 no key",
    "skill verify": _VERIFY,
    "registry build": "0 written, 2 the given signature is not of this pack, 7 no key",
    "registry sign": "0 signed, 2 a file or the given signature is not of this pack, 7 no key",
    "registry install": "0 installed or there already, 1 the source is out of reach, 2 not what was pinned or signed, 8 host, publisher or version refused",
    "registry list": "0 listed",
    "registry verify": _VERIFY,
    "openclaw install": "0 installed and proven, 2 a check failed, 7 the package is missing, 8 something is in the way",
    "openclaw uninstall": "0 taken out, 8 something is in the way",
    "openclaw doctor": "0 as it should be, 2 a check failed",
    "openclaw manifest": _DONE,
    "doctor": "0 no check failed, 2 one did",
    "beads": "0 shown or filed, 2 a trace does not verify, 7 no bd or no key",
    "approve": "0 approved, 2 the trace does not verify, 7 no key, 8 not confirmed, or of the caller itself",
    "approvals list": "0 listed",
    "approvals show": "0 shown",
    "approvals revoke": "0 taken back",
    "config show": "0 shown, 8 a trusted file was changed or is gone",
    "config trust": "0 trusted, or no longer",
    "stop": "0 stopped, or with --list shown",
    "resume": "0 resumed, 2 a stop document does not verify",
    "integrations": _DONE,
    "version": _DONE,
}
