// Package jinja renders chat templates: the part of Jinja 2 that they are written in,
// as transformers sets it up (trim_blocks, lstrip_blocks, loop controls, tojson,
// raise_exception, strftime_now, {% generation %}).
//
// Templates come from downloaded models, so nothing in one can reach a file, the
// network, the environment or the process: there is no include, import or extends,
// and no attribute but those listed in this package. Work, text and nesting are
// counted, and a template that exceeds a bound ends with an error: see [Limits].
//
// What isn't implemented is an error that names it, when the template is parsed.
package jinja
