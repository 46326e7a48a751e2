"""Plugins are found through real distributions on the path: a dist-info folder and a module each."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import pytest

from vecsearch.errors import PluginConflictError, PluginError, PluginLoadError, PluginNotFoundError, UsageError
from vecsearch.plugins import HOOKS, KINDS, Installed, Registry, build_manager, check_hook_names, check_registered

FIRST_PARTY = {"loaders", "onnx", "positions", "scorers", "tokenizers", "training", "wordllama"}

SCORER = """
from vecsearch import hookimpl

class {cls}:
    name = "{name}"
    version = "{version}"
    def __init__(self, *, power: int = 1):
        if power < 1:
            raise ValueError("power must be 1 or more")
        self.power = power

@hookimpl
def vecsearch_register_scorers():
    return [{cls}]
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that installs a distribution with one plugin."""
    modules = itertools.count()

    def install_one(
        distribution: str,
        entry: str,
        code: str,
        *,
        version: str = "1.0",
        folder: Path | None = None,
        module: str | None = None,
        more_entries: str = "",
    ) -> str:
        # a module that was imported once stays in sys.modules: each gets a name of its own
        module = module or f"plugin_{tmp_path.name.replace('-', '_')}_{next(modules)}"
        folder = folder or tmp_path / "site"
        info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n", "utf-8")
        (info / "entry_points.txt").write_text(f"[vecsearch]\n{entry} = {module}\n{more_entries}\n", "utf-8")
        (folder / f"{module}.py").write_text(code, "utf-8")
        monkeypatch.syspath_prepend(folder)
        return module

    return install_one


def scorer(name: str, version: str = "3", cls: str = "MyScorer") -> str:
    return SCORER.format(cls=cls, name=name, version=version)


def only(registry: Registry, plugin: str) -> list[Installed]:
    return [line for line in registry.installed() if line.plugin == plugin]


@pytest.fixture
def alone(monkeypatch):
    """Leave first-party plugins out, so that a test knows all that is there."""
    monkeypatch.setenv("VECSEARCH_DISABLE_PLUGINS", ",".join(sorted(FIRST_PARTY)))


def test_first_party_plugins_are_found_through_entry_points_only():
    assert set(build_manager(disabled=[]).distributions) >= FIRST_PARTY


def test_class_of_an_installed_distribution_is_found_listed_and_made(install):
    install("acme-search", "acme", scorer("acme-scorer"))
    registry = Registry()
    assert "acme-scorer" in registry.names("scorer")
    assert registry.get("scorer", "acme-scorer").__name__ == "MyScorer"
    assert registry.create("scorer", "acme-scorer", {"power": 4}).power == 4
    assert registry.create("scorer", "acme-scorer").power == 1
    assert only(registry, "acme") == [Installed("scorer", "acme-scorer", "3", "acme", "acme-search 1.0")]
    assert only(registry, "acme")[0].to_dict() == {
        "kind": "scorer",
        "name": "acme-scorer",
        "version": "3",
        "plugin": "acme",
        "distribution": "acme-search 1.0",
        "error": None,
    }


def test_nothing_installed_gives_empty_lists(alone):
    registry = Registry()
    assert [registry.names(kind) for kind in KINDS] == [[]] * 6
    assert registry.installed() == []
    assert registry.errors() == []
    assert registry.commands() == []


def test_hook_is_called_once_and_only_for_its_kind(install, alone):
    install(
        "acme",
        "acme",
        "from vecsearch import hookimpl\ncalls = []\n"
        "@hookimpl\ndef vecsearch_register_scorers():\n    calls.append('scorers')\n    return []\n"
        "@hookimpl\ndef vecsearch_register_loaders():\n    calls.append('loaders')\n    return []\n",
    )
    registry = Registry()
    calls = registry.loaded.manager.get_plugin("acme").calls
    assert calls == []
    assert registry.names("scorer") == []
    assert registry.names("scorer") == []
    assert calls == ["scorers"]
    registry.installed()
    assert sorted(calls) == ["loaders", "scorers"]


def test_threads_that_share_a_registry_call_a_hook_once(install, alone):
    install(
        "acme",
        "acme",
        "import threading\nfrom vecsearch import hookimpl\ncalls = []\nentered = threading.Event()\n"
        "go_on = threading.Event()\n"
        "@hookimpl\ndef vecsearch_register_scorers():\n"
        "    calls.append(1)\n    entered.set()\n    go_on.wait(10)\n    return []\n",
    )
    registry = Registry()
    module = registry.loaded.manager.get_plugin("acme")
    threads = [threading.Thread(target=registry.names, args=("scorer",)) for _ in range(2)]
    threads[0].start()
    assert module.entered.wait(10)
    threads[1].start()
    module.go_on.set()
    for thread in threads:
        thread.join()
    assert module.calls == [1]


# Errors of use


def test_unknown_name_says_what_is_installed_and_what_is_broken(install, alone):
    install("acme", "acme", scorer("one"))
    install("broken", "broken", "import no_such_module_anywhere")
    with pytest.raises(PluginNotFoundError) as caught:
        Registry().get("scorer", "two")
    assert "no scorer is called 'two'; installed: one; broken plugins: plugin 'broken' of broken 1.0" in str(
        caught.value
    )
    assert caught.value.to_dict()["kind"] == "scorer"
    assert caught.value.to_dict()["name"] == "two"


def test_unknown_kind_says_which_there_are():
    registry = Registry()
    for call in (registry.names, registry.errors, lambda kind: registry.get(kind, "x")):
        with pytest.raises(UsageError, match="no kind of plugin is called 'tokeniser'; kinds: tokenizer, embedder"):
            call("tokeniser")


def test_refused_configuration_names_the_class_and_the_reason(install, alone):
    install("acme", "acme", scorer("one"))
    registry = Registry()
    with pytest.raises(UsageError, match=r"scorer 'one' refuses .* \{'power': 0\}: power must be 1 or more"):
        registry.create("scorer", "one", {"power": 0})
    with pytest.raises(UsageError, match=r"scorer 'one' refuses .*unexpected keyword argument 'depth'"):
        registry.create("scorer", "one", {"depth": 0})


def test_constructor_that_fails_otherwise_is_a_plugin_error(install, alone):
    install("acme", "acme", scorer("one").replace("ValueError", "ZeroDivisionError"))
    with pytest.raises(PluginError, match=r"scorer 'one' could not be made .*ZeroDivisionError: power must be 1"):
        Registry().create("scorer", "one", {"power": 0})


# Broken plugins


BROKEN = {
    "import fails": (
        "import no_such_module_anywhere",
        "ModuleNotFoundError: No module named 'no_such_module_anywhere'",
    ),
    "syntax error": ("def", "SyntaxError"),
    "exits": ("raise SystemExit", "SystemExit"),
    "misspelt hook": (
        scorer("x").replace("vecsearch_register_scorers", "vecsearch_register_tokeniser"),
        "it implements an unknown hook 'vecsearch_register_tokeniser'; known hooks: vecsearch_register_commands, ",
    ),
    "misspelt specname": (
        scorer("x").replace("@hookimpl", "@hookimpl(specname='vecsearch_register_scorer')"),
        "unknown hook 'vecsearch_register_scorer'",
    ),
    "hook without its mark": (
        scorer("x").replace("@hookimpl\n", ""),
        "'vecsearch_register_scorers' is not marked as a hook; put @hookimpl above it",
    ),
    "hook with an argument": (scorer("x").replace("scorers()", "scorers(registry)"), "registry"),
    "hook raises": (scorer("x").replace("return [", "1 / 0; return ["), "ZeroDivisionError: division by zero"),
    "hook exits": (scorer("x").replace("return [", "raise SystemExit(3); return ["), "SystemExit: 3"),
    "not a sequence": (scorer("x").replace("[MyScorer]", "MyScorer"), "it must return a list of classes"),
    "none": (scorer("x").replace("[MyScorer]", "None"), "returned None (a NoneType); it must return a list"),
    "a generator": (scorer("x").replace("return [MyScorer]", "yield MyScorer"), "it must return a list of classes"),
    "a dict": (scorer("x").replace("[MyScorer]", "{'x': MyScorer}"), "it must return a list of classes"),
    "an instance": (scorer("x").replace("[MyScorer]", "[MyScorer()]"), "only classes may stand there"),
    "no name": (scorer("x").replace('name = "x"', "pass"), "has the name None; every scorer needs an attribute `name`"),
    "name with a colon": (scorer("a:b"), "has the name 'a:b'"),
    "name in capitals": (scorer("BM25"), "has the name 'BM25'"),
    "no version": (scorer("x").replace('version = "3"', "pass"), "has the version None; every scorer needs"),
    "version is a number": (
        scorer("x").replace('version = "3"', "version = 3"),
        "has the version 3; every scorer needs",
    ),
    "one name twice": (
        scorer("x").replace("[MyScorer]", "[MyScorer, type('Two', (), {'name': 'x', 'version': '1'})]"),
        "returned two scorers called 'x'",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_plugin_is_shown_with_its_error_and_stops_no_other(case, install, alone):
    code, said = BROKEN[case]
    install("aaa-fine", "aaa", scorer("aaa"))
    install("broken-dist", "mmm", code, version="0.9")
    install("zzz-fine", "zzz", scorer("zzz"))
    registry = Registry()
    assert registry.names("scorer") == ["aaa", "zzz"]
    (line,) = only(registry, "mmm")
    assert (line.kind, line.name, line.distribution) == ("broken", "mmm", "broken-dist 0.9")
    assert line.error is not None
    assert "plugin 'mmm' of broken-dist 0.9 could not" in line.error
    assert said in line.error
    assert line.error.endswith("or leave it out with VECSEARCH_DISABLE_PLUGINS=mmm")
    (error,) = registry.errors()
    assert isinstance(error, PluginLoadError)
    assert error.to_dict()["plugin"] == "mmm"
    assert error.message == line.error


def test_hook_that_fails_leaves_the_other_hooks_of_its_plugin_alone(install, alone):
    install(
        "acme",
        "acme",
        scorer("one") + "\n@hookimpl\ndef vecsearch_register_loaders():\n    raise RuntimeError('no loaders')\n",
    )
    registry = Registry()
    assert registry.names("scorer") == ["one"]
    assert registry.errors() == []
    assert ["no loaders" in error.message for error in registry.errors("loader")] == [True]
    assert registry.errors("scorer") == []
    assert [line.kind for line in only(registry, "acme")] == ["scorer", "broken"]


def test_plugin_with_a_bad_hook_keeps_none_of_its_hooks(install, alone):
    install("acme", "acme", scorer("one") + "\n@hookimpl\ndef vecsearch_register_loaders(x):\n    return []\n")
    registry = Registry()
    assert registry.names("scorer") == []
    assert [line.kind for line in registry.installed()] == ["broken"]


def test_commands_must_be_click_commands(install, alone):
    commands = "import click, vecsearch\n@vecsearch.hookimpl\ndef vecsearch_register_commands():\n    return "
    install("good", "good", commands + "[click.Command('b-command'), click.Command('a-command')]")
    install("bad", "bad", commands + "[print]")
    registry = Registry()
    assert [command.name for command in registry.commands()] == ["a-command", "b-command"]
    assert ["only click commands may stand there" in error.message for error in registry.errors("command")] == [True]


# Names in common


def test_conflict_names_both_plugins_and_harms_no_other_name(install, alone):
    install(
        "acme-search", "acme", scorer("same", "1") + scorer("own", "1", "Other").replace("[Other]", "[MyScorer, Other]")
    )
    install("zeta-search", "zeta", scorer("same", "2"), version="2.5")
    registry = Registry()
    assert registry.names("scorer") == ["own"]
    assert registry.get("scorer", "own").__name__ == "Other"
    with pytest.raises(PluginConflictError) as caught:
        registry.get("scorer", "same")
    message = str(caught.value)
    assert "2 plugins register the scorer 'same': 'acme' of acme-search 1.0 and 'zeta' of zeta-search 2.5" in message
    assert "VECSEARCH_DISABLE_PLUGINS=zeta" in message
    facts = caught.value.to_dict()
    assert facts["plugins"] == ["acme", "zeta"]
    assert facts["distributions"] == ["acme-search 1.0", "zeta-search 2.5"]
    lines = registry.installed()
    assert [(line.name, line.version, line.plugin, line.error is None) for line in lines] == [
        ("own", "1", "acme", True),
        ("same", "1", "acme", False),
        ("same", "2", "zeta", False),
    ]
    assert lines[1].error == message
    assert [type(error) for error in registry.errors("scorer")] == [PluginConflictError]
    assert registry.errors("loader") == []


def test_disabling_one_side_settles_a_conflict(install, alone, monkeypatch):
    install("acme-search", "acme", scorer("same", "1"))
    install("zeta-search", "zeta", scorer("same", "2"))
    assert Registry(disabled=[*FIRST_PARTY, "zeta"]).get("scorer", "same").version == "1"
    assert Registry(disabled=[*FIRST_PARTY, "acme"]).get("scorer", "same").version == "2"


def test_one_name_for_two_kinds_is_no_conflict(install, alone):
    install(
        "acme",
        "acme",
        scorer("same") + "\n@hookimpl\ndef vecsearch_register_encoders():\n    return [MyScorer]\n",
    )
    registry = Registry()
    assert registry.names("scorer") == registry.names("encoder") == ["same"]


def test_order_of_the_path_decides_nothing(install, alone, tmp_path, monkeypatch):
    folders = [tmp_path / "a", tmp_path / "b"]
    install("zeta", "zeta", scorer("same", "2"), folder=folders[0])
    install("acme", "acme", scorer("same", "1") + "\nraise ImportError\n", folder=folders[1])
    install("beta", "beta", scorer("same", "3"), folder=folders[1])
    one = [line.to_dict() for line in Registry().installed()]
    monkeypatch.syspath_prepend(folders[0])
    assert [line.to_dict() for line in Registry().installed()] == one
    assert [line["plugin"] for line in one] == ["beta", "zeta", "acme"]


def test_two_distributions_with_one_entry_point_name_are_both_loaded(install, alone):
    install("Acme.Search", "extra", scorer("one"))
    install("zeta-search", "extra", scorer("two"))
    registry = Registry()
    assert registry.names("scorer") == ["one", "two"]
    assert [line.plugin for line in registry.installed()] == ["acme-search:extra", "zeta-search:extra"]
    assert Registry(disabled=[*FIRST_PARTY, "zeta-search:extra"]).names("scorer") == ["one"]
    assert Registry(disabled=[*FIRST_PARTY, "extra"]).names("scorer") == []


def test_distribution_that_stands_on_the_path_twice_is_one(install, alone, tmp_path):
    for folder in ("installed", "editable"):
        install(
            "acme", "acme", scorer("one"), folder=tmp_path / folder, module=f"{tmp_path.name}_twice".replace("-", "_")
        )
    registry = Registry()
    assert registry.names("scorer") == ["one"]
    assert registry.errors() == []


def test_distribution_with_one_entry_point_for_two_modules_is_broken(install, alone):
    install("acme", "acme", scorer("one"), more_entries="acme = os")
    (line,) = Registry().installed()
    assert line.kind == "broken"
    assert "gives that entry point more than once: os and plugin_" in str(line.error)


def test_one_module_under_two_names_is_loaded_once_and_said(install, alone):
    module = install("acme", "acme", scorer("one"))
    install("acme-new", "acme-new", scorer("one"), module=module)
    registry = Registry()
    assert registry.names("scorer") == ["one"]
    (line,) = only(registry, "acme-new")
    assert f"its module {module} is already the plugin 'acme'" in str(line.error)


def test_metadata_without_its_name_stops_nothing(install, alone, tmp_path):
    install("acme", "acme", scorer("one"))
    (tmp_path / "site" / "acme-1.0.dist-info" / "METADATA").unlink()
    assert Registry().names("scorer") == ["one"]


# Leaving plugins out


def test_environment_leaves_plugins_out(install, monkeypatch):
    install("acme", "acme", scorer("acme-scorer"))
    monkeypatch.setenv("VECSEARCH_DISABLE_PLUGINS", " acme , scorers,")
    registry = Registry()
    assert registry.names("scorer") == []
    assert "tokenizers" in registry.loaded.distributions


def test_disabled_plugin_is_not_even_imported(install, monkeypatch):
    install("acme", "acme", "raise RuntimeError")
    monkeypatch.setenv("VECSEARCH_DISABLE_PLUGINS", "acme")
    assert not [error for error in build_manager().errors if error.facts["plugin"] == "acme"]


def test_argument_stands_above_the_environment(install, monkeypatch):
    install("acme", "acme", scorer("acme-scorer"))
    monkeypatch.setenv("VECSEARCH_DISABLE_PLUGINS", "acme")
    assert "acme-scorer" in Registry(disabled=[]).names("scorer")


def test_managers_share_nothing(install):
    install("acme", "acme", scorer("one"))
    one, other = build_manager(), build_manager()
    one.manager.unregister(name="acme")
    assert other.manager.has_plugin("acme")


# Parts


def test_every_kind_has_a_hook_specification():
    from vecsearch import hookspecs

    specified = {name for name in vars(hookspecs) if name.startswith("vecsearch_register_")}
    assert set(HOOKS.values()) == specified


def test_check_registered_returns_classes_by_name():
    class One:
        name = "one"
        version = "1"

    assert check_registered("scorer", (One, One)) == {"one": One}
    assert check_registered("scorer", []) == {}


def test_check_hook_names_takes_objects_without_hooks():
    check_hook_names(object())
