"""Reference values of package transformer/chat: what transformers' apply_chat_template
makes of conversations.

The conversations are our own. The templates say what the published ones of each
family do, in words of our own (Llama 2 chat, Llama 3 Instruct, Gemma, Gemma 3,
Mistral 7B Instruct v0.1 and v0.3 without tools, ChatML); `pieces` are snippets that
use Jinja as such templates do. Run: make golden, or

    out/python/bin/python testdata/chat/generate.py
"""

import gzip
import json
import pathlib
import random

from transformers.utils.chat_template_utils import render_jinja_template

HERE = pathlib.Path(__file__).parent

ALTERNATE = """
{%- for m in turns -%}
{%- if m.role != ('user' if loop.index0 % 2 == 0 else 'assistant') -%}
{{- raise_exception('user and assistant must take turns') -}}
{%- endif -%}
{%- endfor -%}
"""

FAMILIES = {
    "llama-2": (
        """{%- set system = none -%}{%- set turns = messages -%}
{%- if messages[0].role == 'system' -%}{%- set system = messages[0].content -%}{%- set turns = messages[1:] -%}{%- endif -%}
"""
        + ALTERNATE
        + """
{%- for m in turns -%}
{%- if m.role == 'user' -%}
{%- if loop.first and system is not none -%}{%- set text = '<<SYS>>\\n' ~ system ~ '\\n<</SYS>>\\n\\n' ~ m.content -%}
{%- else -%}{%- set text = m.content -%}{%- endif -%}
{{- bos_token ~ '[INST] ' ~ text.strip() ~ ' [/INST]' -}}
{%- else -%}
{{- ' ' ~ m.content.strip() ~ ' ' ~ eos_token -}}
{%- endif -%}
{%- endfor -%}""",
        "<s>",
        "</s>",
    ),
    "llama-3": (
        """{{- bos_token -}}
{%- for m in messages -%}
{{- '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' + m['content'] | trim + '<|eot_id|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}{%- endif -%}""",
        "<|begin_of_text|>",
        "<|eot_id|>",
    ),
    "gemma": (
        """{%- set turns = messages -%}
{%- if messages[0]['role'] == 'system' -%}{{- raise_exception('no system role') -}}{%- endif -%}
"""
        + ALTERNATE
        + """{{- bos_token -}}
{%- for m in turns -%}
{%- if m['role'] == 'assistant' -%}{%- set role = 'model' -%}{%- else -%}{%- set role = m['role'] -%}{%- endif -%}
{{- '<start_of_turn>' + role + '\\n' + m['content'] | trim + '<end_of_turn>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<start_of_turn>model\\n' -}}{%- endif -%}""",
        "<bos>",
        "<eos>",
    ),
    "gemma-3": (
        """{%- if messages[0]['role'] == 'system' -%}{%- set before = messages[0]['content'] + '\\n\\n' -%}{%- set turns = messages[1:] -%}
{%- else -%}{%- set before = '' -%}{%- set turns = messages -%}{%- endif -%}
"""
        + ALTERNATE
        + """{{- bos_token -}}
{%- for m in turns -%}
{{- '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\\n' + (before if loop.first else '') + m['content'] | trim + '<end_of_turn>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<start_of_turn>model\\n' -}}{%- endif -%}""",
        "<bos>",
        "<eos>",
    ),
    "mistral-v0.1": (
        """{%- set turns = messages -%}"""
        + ALTERNATE
        + """{{- bos_token -}}
{%- for m in turns -%}
{%- if m['role'] == 'user' -%}{{- '[INST] ' + m['content'] + ' [/INST]' -}}
{%- else -%}{{- m['content'] + eos_token + ' ' -}}{%- endif -%}
{%- endfor -%}""",
        "<s>",
        "</s>",
    ),
    "mistral-v0.3": (
        """{%- if messages[0]['role'] == 'system' -%}{%- set system = messages[0]['content'] -%}{%- set turns = messages[1:] -%}
{%- else -%}{%- set turns = messages -%}{%- endif -%}
{%- set users = turns | selectattr('role', 'equalto', 'user') | list -%}
"""
        + ALTERNATE
        + """{{- bos_token -}}
{%- set ns = namespace(user=0) -%}
{%- for m in turns -%}
{%- if m['role'] == 'user' -%}{%- set ns.user = ns.user + 1 -%}
{%- if ns.user == users | length and system is defined -%}{{- '[INST] ' + system + '\\n\\n' + m['content'] + '[/INST]' -}}
{%- else -%}{{- '[INST] ' + m['content'] + '[/INST]' -}}{%- endif -%}
{%- else -%}{{- ' ' + m['content'] | trim + eos_token -}}{%- endif -%}
{%- endfor -%}""",
        "<s>",
        "</s>",
    ),
    "chatml": (
        """{%- for m in messages -%}
{{- '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}""",
        "",
        "<|im_end|>",
    ),
}

# Snippets that use Jinja as chat templates do.
PIECES = [
    "{{ messages[-1]['role'] }}|{{ messages[-1].content[-3:] }}|{{ messages[0]['content'][:4] }}|{{ messages[0].content[1:-1] }}",
    "{% for m in messages[::-1] %}{{ loop.index }}{{ m.role }}{% if not loop.last %}, {% endif %}{% endfor %}",
    "{% for m in messages if m.role == 'user' %}{{ loop.revindex }}/{{ loop.length }} {% else %}none{% endfor %}",
    "{% set ns = namespace(found=false, last=-1) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.found = true %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}{{ ns.found }} {{ ns.last }}",
    "  {% if tools is not none %}t{% else %}n{% endif %}\n  {%- if tools %}x{% endif %}\n{% if documents is defined and documents %}d{% endif %}\nend\n",
    "a\n    {% if true %}\n    b\n    {% endif %}\n    c {# comment #}\n d {#- x -#}  e\n",
    "{{ messages | tojson }}\n{{ messages[0] | tojson(indent=2) }}\n{{ {'b': 1, 'a': '<\"é&', 'c': [1, 2.5, none, true]} | tojson }}",
    "{% macro say(m, end='!') %}{{ m.role }}{{ end }}{% endmacro %}{% for m in messages %}{{ say(m) }}{{ say(m, end='?') }}{% endfor %}",
    "{{ 'a b  c'.split() }} {{ 'a,b,c'.split(',')[1] }} {{ 'x</think>y</think>z'.split('</think>')[-1] }} {{ 'a-b-c'.rsplit('-', 1) }} {{ 'a-b-c'.split('-', 1) }}",
    "{{ '  x '.strip() }}|{{ '\\n\\nx\\n'.lstrip('\\n') }}|{{ 'xxay'.rstrip('y') }}|{{ 'abc'.startswith('a') }}|{{ 'abc'.endswith(('c', 'd')) }}|{{ 'abc'.replace('b', 'BB') }}|{{ 'aBc dE'.title() }}|{{ 'hello World'.capitalize() }}",
    "{{ messages | map(attribute='role') | join('+') }} {{ messages | length }} {{ messages | selectattr('role', 'in', ['user', 'system']) | list | length }} {{ messages | rejectattr('role', '==', 'user') | map(attribute='role') | list }}",
    "{{ 1 + 2 * 3 - 4 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ -7 // 2 }} {{ 2 ** 3 }} {{ 7 / 2 }} {{ 1.0 }} {{ 'a' ~ 1 ~ none ~ true }} {{ 3 * 'ab' if false else 'ab' * 3 }}",
    "{{ none }} {{ true }} {{ [1, 'a', none, \"it's\"] }} {{ {'k': 'v'} }} {{ undefined_name }} {{ undefined_name is defined }} {{ messages is iterable }} {{ messages[0] is mapping }} {{ messages[0].content is string }} {{ 'x' is not none }}",
    "{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 'a' in 'abc' }} {{ 'role' in messages[0] }} {{ 'x' not in ['y'] }} {{ not true or true and false }} {{ 1 == 1.0 }} {{ 'a' == 'b' }} {{ none == false }}",
    "{{ 'yes' if messages | length > 1 else 'no' }}{{ ' and' if false }}{{ messages[0].missing is undefined }}{{ messages[0].get('role') }}{{ messages[0].get('nothing', 'other') }}",
    "{% for k, v in messages[0].items() %}{{ k }}={{ v | length }};{% endfor %}{% for k in messages[0] %}{{ k }},{% endfor %}{{ messages[0].keys() | list }}{% for k, v in messages[0] | dictsort %}{{ k }}{% endfor %}",
    "{% for i in range(10) %}{% if i == 2 %}{% continue %}{% endif %}{% if i > 5 %}{% break %}{% endif %}{{ i }}{{ loop.cycle('a', 'b') }}{% endfor %}{{ range(3) | list }}{{ range(5, 1, -2) | list }}",
    "{% set x %}block {{ messages | length }}{% endset %}{{ x | upper }}{% set a, b = 1, 2 %}{{ a + b }}{% set c = 'out' %}{% for m in messages %}{% set c = 'in' %}{% endfor %}{{ c }}{% if true %}{% set c = 'if' %}{% endif %}{{ c }}",
    "{% raw %}{{ raw }} {% x %}{% endraw %}{{ '{{' }}{{ \"\\t|\\\\|\\u00e9|\\x41\" }}{{ 'con' 'cat' }}",
    "{% for m in messages %}{% if loop.previtem is defined %}<{{ loop.previtem.role }}{% endif %}{% if loop.nextitem is defined %}>{{ loop.nextitem.role }}{% endif %}{% endfor %}",
    "{{ 'text' | default('d') }}{{ nothing | default('d') }}{{ '' | default('d', true) }}{{ '3' | int + 1 }}{{ 'x' | int }}{{ '2.5' | float }}{{ [3, 1, 2] | sort | first }}{{ [3, 1, 2] | last }}{{ [1, 2] | reverse | list }}{{ 'abc' | reverse }}{{ -3 | abs }}",
    "{{ 'a\\nb' | indent(2) }}|{{ 'a\\nb' | indent(2, true) }}|{{ ['b', 'a', 'b'] | unique | list }}|{{ 'x' | string | trim }}|{{ [0, 1, '', 'a'] | select | list }}|{{ [1, 2, 3] | select('odd') | list }}|{{ ['a'] + ['b'] }}",
    "{% generation %}{{ messages[-1].content }}{% endgeneration %}",
    "{%- if messages[0]['role'] == 'tool' %}{{- raise_exception('tool first') }}{%- endif %}{{ raise_exception('always ' + messages[0].role) }}",
    "{{ missing.attribute }}",
    "{% with n = 2, w = 'x' %}{{ w * n }}{% endwith %}{{ w is defined }}",
    "{{ messages[0]['content'].find('e') }} {{ 'banana'.count('an') }} {{ '12'.isdigit() }} {{ '-'.join(['a', 'b']) }} {{ 'a\\nb\\n'.splitlines() }} {{ messages.index(messages[0]) }}",
    "{{ 10 is divisibleby 5 }} {{ 3 is odd }} {{ 3 is even }} {{ 'a' is eq 'a' }} {{ 2 is gt(1) }} {{ true is boolean }} {{ 1 is number }} {{ 1.5 is float }} {{ 1 is integer }} {{ true is true }} {{ none is none }} {{ [] is sequence }}",
    "{{ 'a' if messages[0].role == 'user' else 'b' if messages[0].role == 'system' else 'c' }}{{ (1, 2)[1] }}{{ [1,2,][0] }}{{ ((1 + 2) * 3) }}{{ not messages }}",
    "{%- for message in messages -%}\n    {{- message.role -}}\n    {%- if message.role == 'user' +%}\n    kept\n    {%+ endif -%}\n{%- endfor -%}\n",
]

WORDS = "tea boat river stone letter garden window bread lamp winter".split()
CONTENTS = ["Hello!", "  padded  ", "two\nlines", "trailing newline\n", "\n\nleading", "naïve café 東京 🎈", "", "a <b> & \"c\" 'd'", "{{ not a template }} {% if %}",
            "[INST] text [/INST]", "x" * 60, "tabs\tand\u00a0nbsp\u00a0", "1 + 1 = 2", "back\\slash", "<<SYS>> no", "end </s> token", "\x1c odd \x1f"]


def conversations():
    rng = random.Random(7)

    def text():
        if rng.random() < 0.4:
            return rng.choice(CONTENTS)
        return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 6))).capitalize() + rng.choice([".", "?", "!"])

    out = []
    for i in range(50):
        messages = []
        if i % 3 == 1:
            messages.append({"role": "system", "content": text()})
        for turn in range(1 + i % 5):
            messages.append({"role": "user", "content": text()})
            if turn < i % 5 or i % 2:
                messages.append({"role": "assistant", "content": text()})
        if i in (17, 34):  # out of turn
            messages.append({"role": "assistant", "content": "again"})
            messages.append({"role": "assistant", "content": "and again"})
        if i == 41:
            messages = [{"role": "assistant", "content": "first"}] + messages
        out.append(messages)
    return out


def render(template, messages, generate, bos, eos):
    try:
        out, _ = render_jinja_template(conversations=[messages], chat_template=template, add_generation_prompt=generate, bos_token=bos, eos_token=eos)
        return out[0]
    except Exception as e:  # jinja2's or ours: that there is one is what counts
        return {"error": type(e).__name__}


def main():
    chats = conversations()
    families = {}
    for name, (template, bos, eos) in FAMILIES.items():
        families[name] = {
            "template": template,
            "bos": bos,
            "eos": eos,
            "texts": [[render(template, m, g, bos, eos) for g in (False, True)] for m in chats],
        }
    pieces = [{"template": p, "texts": [render(p, m, False, "<s>", "</s>") for m in chats[:8]]} for p in PIECES]
    data = {"conversations": chats, "families": families, "pieces": pieces}
    text = json.dumps(data, ensure_ascii=False, indent=None, separators=(",", ":"))
    (HERE / "golden.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    errors = {n: sum(isinstance(t, dict) for pair in f["texts"] for t in pair) for n, f in families.items()}
    print("errors:", errors, [sum(isinstance(t, dict) for t in p["texts"]) for p in pieces])


main()
