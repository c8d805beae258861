"""Install, verify and uninstall the skill and the plugin.

Invariant: each step replaces a whole folder or file, so that an interrupted run leaves what was there or something that vetoes, and
the next run finishes it.  A second run over what is as it should be changes nothing.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping

from ... import build
from ...errors import GaitError, UnsafeOperation
from ...formats import strict_json
from ...formats.documents import NamedTuple
from ...gate import policy as policies
from ...store import keys
from ...system import files
from . import checks, host, package, tree
from .package import EDITABLE, MANIFEST, NAME, PLACE, PLUGIN, RECORD
from .places import Places, check_folder, is_ours

_FLAGS = ("--force", "--accept-capabilities")  # of `plugins install`; OpenClaw before 2026.9 knows neither


class Wish(NamedTuple):
    """What the operator asked for.  `policy` is a file's path, or empty for the package's own."""

    policy: str = ""
    force: bool = False
    dry_run: bool = False
    uses_cli: bool = True


class Done(NamedTuple):
    """What was done, in words that do not depend on time or chance."""

    result: str
    places: Places
    package_digest: str = ""
    changed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    backups: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    checks: tuple[checks.Check, ...] = ()

    @property
    def ok(self) -> bool:
        """True when no check failed."""
        return not any(found.status == "fail" for found in self.checks)

    def to_value(self) -> dict[str, object]:
        """As JSON."""
        where = {"skill_dir": self.places.skill, "plugin_dir": self.places.plugin or None, "config": self.places.config}
        lists = {name: list(getattr(self, name)) for name in ("changed", "kept", "backups", "warnings")}
        told = [found.to_value() for found in self.checks]
        return {"ok": self.ok, "result": self.result, **where, "package_digest": self.package_digest, **lists, "checks": told}


class _State(NamedTuple):
    """What an earlier run has noted."""

    made_folders: list[str]
    made_config: list[str]
    policy_sha256: str
    plugin: str


def install(places: Places, wish: Wish, edits: host.Edits) -> Done:
    """Lay everything down, enable it, and prove that a forbidden call is refused.  UnsafeOperation, StorageError: what is in the way."""
    contents = package.collect(places.root)
    own_policy = _own_policy(wish.policy)
    check_folder(places.skill, MANIFEST)
    if places.plugin:
        _check_apart(places)
        check_folder(places.plugin, "openclaw.plugin.json")
    sums = package.sums_of(contents)
    if wish.dry_run:
        is_there = is_ours(places.skill)
        return Done("would update" if is_there else "would install", places, build.digest_of(sums))
    made = tree.make_parents(places.skill)
    with tree.turn(os.path.dirname(places.skill)):
        check_folder(places.skill, MANIFEST)
        work = _Work(places, wish, edits, _state(places.skill))
        work.lay_skill(contents, own_policy, made)
        if places.plugin:
            work.lay_plugin()
            work.enable()
        work.note()
        found = tuple(checks.check(places, asks_host=bool(work.changed), is_just_checked=True))
    result = "unchanged" if not work.changed else "updated" if work.was_there else "installed"
    told = (tuple(work.changed), tuple(work.kept), tuple(work.backups), tuple(work.warnings))
    return Done(result, places, build.digest_of(sums), *told, checks=found)


def verify(places: Places) -> Done:
    """Every check, changing nothing."""
    found = tuple(checks.check(places))
    sums: Mapping[str, str] = {}
    if found[0].status == "ok":
        sums = package.read_manifest(places.skill)
    return Done("verified" if not any(item.status == "fail" for item in found) else "not as it should be", places, build.digest_of(sums) if sums else "", checks=found)


def uninstall(places: Places, wish: Wish, edits: host.Edits) -> Done:
    """Take everything away but the journal and the keys in Gait's home, which are evidence."""
    state = _state(places.skill)
    if state.plugin and places.plugin:
        places = places._replace(plugin=state.plugin)
    plugin = places.plugin or places.extensions
    check_folder(places.skill, MANIFEST)
    check_folder(plugin, "openclaw.plugin.json")
    there = [path for path in (places.skill, plugin) if os.path.lexists(path)]
    if wish.dry_run:
        return Done("would uninstall" if there else "unchanged", places)
    changed, warnings = [], []
    if places.cli and wish.uses_cli and os.path.lexists(places.extensions):
        said = host.with_known_flags(places.cli, ("plugins", "uninstall", NAME), ("--force",))
        if said.code:
            warnings.append(f"openclaw plugins uninstall: {host.last_line(said)}")
    try:
        if host.disable(places._replace(plugin=plugin), edits, state.made_config):
            changed.append(places.config)
    except UnsafeOperation as error:
        warnings.append(f"{error}: remove plugins.entries.{NAME} from it by hand")
    for path in (plugin, places.skill):
        tree.repair(path)
        tree.remove(path)
    tree.remove_empty(state.made_folders)
    return Done("uninstalled" if there or changed else "unchanged", places, changed=(*there, *changed), warnings=tuple(warnings))


class _Work:
    """One run: what it does, and what it has to tell."""

    def __init__(self, places: Places, wish: Wish, edits: host.Edits, state: _State) -> None:
        self._places, self._wish, self._edits, self._state = places, wish, edits, state
        self._made_folders, self._made_config = list(state.made_folders), list(state.made_config)
        self._policy_sha256 = state.policy_sha256
        self.was_there = is_ours(places.skill)
        self.changed: list[str] = []
        self.kept: list[str] = []
        self.backups: list[str] = []
        self.warnings: list[str] = []

    def lay_skill(self, contents: Mapping[str, bytes], own_policy: bytes | None, made: list[str]) -> None:
        """The skill's folder with the vendored gait/."""
        self._made(made)
        skill = self._places.skill
        if tree.repair(skill):
            self.changed.append("left by an interrupted run")
            self.was_there, self._state = is_ours(skill), _state(skill)
        wanted = {**contents, MANIFEST: package.dumps(package.manifest(contents))}
        wanted.update(self._editable(contents, own_policy))
        wanted["plugin/" + PLACE] = package.dumps(self._place())
        backups = {name: data for name, data in self._old_files().items() if package.is_backup(name)}
        backups.update(self._backups(wanted))
        is_same = not self.backups and tree.is_same(skill, wanted) and self._is_clean()
        if not is_same:
            record = {RECORD: package.dumps(self._record())}
            tree.replace(skill, {**wanted, **backups, **record}, compiled=True)
            self.changed.append(skill)

    def _is_clean(self) -> bool:
        skill = self._places.skill
        compiled = (package.compiled_path(path) for path in package.read_manifest(skill) if package.is_module(path))
        return not list(package.findings(skill)) and all(os.path.isfile(os.path.join(skill, path)) for path in compiled)

    def _old_files(self) -> dict[str, bytes]:
        found = {}
        for name in sorted(os.listdir(self._places.skill)) if self.was_there else ():
            if name in EDITABLE or package.is_backup(name):
                found[name] = files.read_bounded(os.path.join(self._places.skill, name), policies.MAX_BYTES)
        return found

    def _editable(self, contents: Mapping[str, bytes], own_policy: bytes | None) -> dict[str, bytes]:
        """The policy and the settings: the operator's own where he has edited them."""
        old, found = self._old_files(), {}
        for name in EDITABLE:
            fresh = own_policy if own_policy is not None and name == "policy.yaml" else contents[name]
            is_edited = name in old and old[name] != fresh and self._is_edited(name, old[name], own_policy is not None)
            found[name] = old[name] if is_edited and not self._wish.force else fresh
            if is_edited and not self._wish.force:
                self.kept.append(name)
            elif name == "policy.yaml":
                self._policy_sha256 = hashlib.sha256(own_policy).hexdigest() if own_policy is not None else self._policy_sha256
        return found

    def _is_edited(self, name: str, data: bytes, is_replaced: bool) -> bool:
        """Whether a file is neither the package's nor, for the policy, the one that --policy named last and no other is named now."""
        digest = hashlib.sha256(data).hexdigest()
        try:
            shipped = package.read_manifest(self._places.skill).get(name)
        except GaitError:
            shipped = ""
        return digest != shipped and not (name == "policy.yaml" and is_replaced and digest == self._state.policy_sha256)

    def _backups(self, wanted: Mapping[str, bytes]) -> dict[str, bytes]:
        """With --force, the edited files that are about to be replaced, under new names."""
        old, found = self._old_files(), {}
        for name in EDITABLE:
            if name in old and old[name] != wanted[name] and self._is_edited(name, old[name], True):
                number = 1
                while f"{name}.before-{number}" in old:
                    number += 1
                found[f"{name}.before-{number}"] = old[name]
                self.backups.append(f"{name}.before-{number}")
        return found

    def _place(self) -> dict[str, object]:
        """What the plugin has to know, beside its code."""
        return {"python": sys.executable, "skill_dir": self._places.skill, "home": keys.home(), "workspace": self._places.workspace}

    def lay_plugin(self) -> None:
        """The plugin's folder: through openclaw itself where it is there, else by hand."""
        places = self._places
        if tree.repair(places.plugin):
            self.changed.append("left by an interrupted run")
        source = os.path.join(places.skill, "plugin")
        wanted = {name: files.read_bounded(os.path.join(source, name), 1 << 20) for name in (*PLUGIN, PLACE)}
        if tree.is_same(places.plugin, wanted):
            return
        self.changed.append(places.plugin)
        if places.cli and self._wish.uses_cli and places.plugin == places.extensions:
            said = host.with_known_flags(places.cli, ("plugins", "install", source), _FLAGS)
            if said.code == 0 and tree.is_same(places.plugin, wanted):
                return
            if not os.path.lexists(places.plugin):
                self.warnings.append(f"openclaw plugins install: {host.last_line(said)}; the plugin was copied instead")
        self._made(tree.make_parents(places.plugin))
        tree.replace(places.plugin, wanted, compiled=False)

    def enable(self) -> None:
        """plugins.entries.gait-gate.enabled in openclaw.json, unless it is there already."""
        self._made(tree.make_parents(self._places.config))
        try:
            made = host.enable(self._places, self._edits)
        except UnsafeOperation as error:
            self.warnings.append(f"{error} ({error.hint})")
            return
        self._made_config += [part for part in made.parts if part not in self._made_config]
        if made.is_changed:
            self.changed.append(self._places.config)

    def _made(self, folders: list[str]) -> None:
        self._made_folders += [folder for folder in folders if folder not in self._made_folders]

    def note(self) -> None:
        """Write down for `uninstall` what was made outside of the two folders."""
        path = os.path.join(self._places.skill, RECORD)
        data = package.dumps(self._record())
        if not os.path.lexists(path) or files.read_bounded(path, 1 << 20) != data:
            files.write_atomic(path, data)

    def _record(self) -> dict[str, object]:
        return {
            "schema_id": "gait.openclaw.install",
            "schema_version": "1.0.0",
            "made_folders": self._made_folders,
            "made_config": self._made_config,
            "policy_sha256": self._policy_sha256,
            "plugin_dir": self._places.plugin,
        }


def _own_policy(path: str) -> bytes | None:
    """The bytes of --policy, once they have been read as a policy."""
    if not path:
        return None
    data = files.read_bounded(path, policies.MAX_BYTES, "policy")
    policies.loads(data, path)
    return data


def _check_apart(places: Places) -> None:
    skill, plugin = (os.path.join(os.path.realpath(path), "") for path in (places.skill, places.plugin))
    if skill.startswith(plugin) or plugin.startswith(skill):
        raise UnsafeOperation("the plugin's folder and the skill's are one inside the other", where=places.plugin, hint="name folders apart", code="target_refused")


def _state(skill: str) -> _State:
    """What an earlier run has noted; nothing where it has not, or no longer legibly."""
    path = os.path.join(skill, RECORD)
    try:
        value = strict_json.loads_object(files.read_bounded(path, 1 << 20), path)
    except GaitError:
        value = {}
    lists = [[item for item in found if isinstance(item, str)] if isinstance(found, list) else [] for found in (value.get("made_folders"), value.get("made_config"))]
    return _State(lists[0], lists[1], str(value.get("policy_sha256") or ""), str(value.get("plugin_dir") or ""))
