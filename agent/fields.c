/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fields of an event, normalised over the many events that do one kind of thing: six ways to start
 * a program all give exec.path. The table of events says which argument holds what; this file
 * makes the rest from it (exec.name from exec.path, url.host from url.full). Works on values alone,
 * so agent, daemon and tools see the same.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "event.h"
#include "secrets.h"

static const char shells[][6] = {"sh",   "bash", "dash", "ash",  "zsh",	"ksh",
				 "mksh", "csh",	 "tcsh", "fish", "rbash"};

static void *
scratch_take(struct pyaudit_event *event, uint32_t size)
{
	uint32_t at = (event->scratch_len + 7) & ~7u;

	if (event->scratch == NULL || at > event->scratch_size || size > event->scratch_size - at)
		return NULL;
	event->scratch_len = at + size;
	return event->scratch + at;
}

static const struct pyaudit_value absent;

static const struct pyaudit_value *
argument(struct pyaudit_event *event, unsigned n)
{
	if (n >= event->n_args)
		return &absent;
	pyaudit_event_need_arg(event, n);
	return &event->args[n];
}

/* The value that the event's table row names for @field, where it is a plain argument. */
static const struct pyaudit_value *
plain(struct pyaudit_event *event, unsigned field)
{
	const struct pyaudit_source *source = pyaudit_source_of(event->id, field);
	const struct pyaudit_value *v;

	if (source == NULL)
		return &absent;
	v = argument(event, source->arg);
	switch (source->how) {
	case PYAUDIT_HOW_ARG:
	case PYAUDIT_HOW_CODE:
		return v;
	case PYAUDIT_HOW_FIRST:
		if (v->type == PYAUDIT_TAG_LIST && v->n_items > 0)
			return &v->items[0];
		return pyaudit_value_is_text(v) ? v : &absent;
	default:
		return &absent;
	}
}

static bool
give_text(const struct pyaudit_value *v, struct pyaudit_value *ret)
{
	if (!pyaudit_value_is_text(v))
		return false;
	*ret = *v;
	return true;
}

static bool
give_bool(bool holds, struct pyaudit_value *ret)
{
	*ret = (struct pyaudit_value){.type = PYAUDIT_TAG_BOOL, .i = holds};
	return true;
}

/* Part by part: a value made elsewhere and copied is read at once before its parts are written. */
static bool
give_part(const char *s, size_t len, struct pyaudit_value *ret)
{
	ret->type = PYAUDIT_TAG_STR;
	ret->flags = 0;
	ret->n_items = 0;
	ret->len = ret->full_len = (uint32_t)len;
	ret->s = s;
	return true;
}

static bool
give_last_component(const struct pyaudit_value *path, struct pyaudit_value *ret)
{
	const char *slash = path->len > 0 ? memrchr(path->s, '/', path->len) : NULL;
	const char *start = slash != NULL ? slash + 1 : path->s;

	return give_part(start, (size_t)(path->s + path->len - start), ret);
}

static bool
text_is(const struct pyaudit_value *v, const char *s)
{
	return pyaudit_value_is_text(v) && v->len == strlen(s) && memcmp(v->s, s, v->len) == 0;
}

static bool
runs_system_shell(const struct pyaudit_event *event)
{
	const struct pyaudit_source *source = pyaudit_source_of(event->id, PYAUDIT_F_EXEC_SHELL);

	return source != NULL && source->how == PYAUDIT_HOW_SYSTEM;
}

static bool
exec_path(struct pyaudit_event *event, struct pyaudit_value *ret)
{
	const struct pyaudit_source *source = pyaudit_source_of(event->id, PYAUDIT_F_EXEC_PATH);
	const struct pyaudit_value *tried;

	if (runs_system_shell(event))
		return give_part("/bin/sh", 7, ret);
	if (source == NULL || source->how != PYAUDIT_HOW_SEARCH)
		return give_text(plain(event, PYAUDIT_F_EXEC_PATH), ret);
	/* Which of several it is, only the kernel knows. */
	tried = argument(event, source->arg);
	if (tried->type != PYAUDIT_TAG_LIST || tried->n_items == 0 || !pyaudit_value_is_text(&tried->items[0]))
		return false;
	return tried->full_len == 1 ? give_text(&tried->items[0], ret) : give_last_component(&tried->items[0], ret);
}

static bool
exec_argv(struct pyaudit_event *event, struct pyaudit_value *ret)
{
	const struct pyaudit_value *argv;

	if (runs_system_shell(event)) {
		struct pyaudit_value *items = scratch_take(event, 3 * sizeof(*items));

		if (items == NULL)
			return false;
		items[0] = pyaudit_value_text("sh", 2);
		items[1] = pyaudit_value_text("-c", 2);
		items[2] = *plain(event, PYAUDIT_F_EXEC_CMDLINE);
		*ret = (struct pyaudit_value){
			.type = PYAUDIT_TAG_LIST, .n_items = 3, .full_len = 3, .items = items};
		return true;
	}
	argv = plain(event, PYAUDIT_F_EXEC_ARGV);
	if (argv->type == PYAUDIT_TAG_LIST) {
		*ret = *argv;
		return true;
	}
	if (!pyaudit_value_is_text(argv))
		return false;
	*ret = (struct pyaudit_value){
		.type = PYAUDIT_TAG_LIST, .n_items = 1, .full_len = 1, .items = argv};
	return true;
}

static bool
exec_cmdline(struct pyaudit_event *event, struct pyaudit_value *ret)
{
	struct pyaudit_value argv;
	uint32_t len = 0, room;
	char *joined;

	if (runs_system_shell(event))
		return give_text(plain(event, PYAUDIT_F_EXEC_CMDLINE), ret);
	if (!exec_argv(event, &argv))
		return false;
	for (unsigned i = 0; i < argv.n_items; i++)
		if (pyaudit_value_is_text(&argv.items[i]))
			len += argv.items[i].len + 1;
	room = len < PYAUDIT_TEXT_MAX ? len : PYAUDIT_TEXT_MAX;
	joined = scratch_take(event, room);
	if (joined == NULL)
		return false;
	*ret = pyaudit_value_text(joined, 0);
	for (unsigned i = 0; i < argv.n_items; i++) {
		const struct pyaudit_value *v = &argv.items[i];
		uint32_t n = v->len;

		if (!pyaudit_value_is_text(v))
			continue;
		if (ret->len > 0 && ret->len < room)
			joined[ret->len++] = ' ';
		if (n > room - ret->len)
			n = room - ret->len;
		memcpy(joined + ret->len, v->s, n);
		ret->len += n;
	}
	ret->full_len = len > 0 ? len - 1 : 0;
	if (ret->full_len > ret->len)
		ret->flags = PYAUDIT_VALUE_CUT;
	return true;
}

/* An option word of a shell that takes the next word with it: -o pipefail, +O extglob, -eo posix,
 * --rcfile FILE. */
static bool
takes_next_word(const struct pyaudit_value *v)
{
	if (text_is(v, "--rcfile") || text_is(v, "--init-file"))
		return true;
	return v->len >= 2 && v->s[1] != '-' && (v->s[v->len - 1] | 0x20) == 'o';
}

static bool
is_shell(const struct pyaudit_value *name)
{
	for (unsigned i = 0; i < sizeof(shells) / sizeof(shells[0]); i++)
		if (text_is(name, shells[i]))
			return true;
	return false;
}

/* Is the shell that is word @at handed a command: has an option word before its first operand a 'c' in it (sh -c,
 * bash -lc, bash -o pipefail -c)? More words than are kept may hide one: that counts as handed. */
static bool
is_handed(const struct pyaudit_value *argv, unsigned at)
{
	for (unsigned i = at + 1; i < argv->n_items; i++) {
		const struct pyaudit_value *v = &argv->items[i];

		if (!pyaudit_value_is_text(v) || v->len < 2 || (v->s[0] != '-' && v->s[0] != '+'))
			return false;
		if (v->s[0] == '-' && v->s[1] != '-' && memchr(v->s, 'c', v->len) != NULL)
			return true;
		if (takes_next_word(v))
			i++;
	}
	return (argv->flags & PYAUDIT_VALUE_CUT) != 0;
}

/* A shell, by itself or behind env and the like, that is handed a command. In one word (env -S) it is taken for handed. */
static bool
exec_shell(struct pyaudit_event *event, struct pyaudit_value *ret)
{
	struct pyaudit_program_word programs[PYAUDIT_PROGRAMS_MAX];
	struct pyaudit_value path, argv;
	unsigned n;

	if (runs_system_shell(event))
		return give_bool(true, ret);
	if (!exec_path(event, &path))
		return false;
	if (!exec_argv(event, &argv))
		return give_bool(false, ret);
	n = pyaudit_programs(&path, &argv, programs);
	for (unsigned i = 0; i < n; i++) {
		const struct pyaudit_program_word *program = &programs[i];
		const struct pyaudit_value *word = &argv.items[program->at];

		if (!is_shell(&program->name))
			continue;
		if (is_handed(&argv, program->at) ||
		    (program->at > 0 && memchr(word->s, ' ', word->len) != NULL))
			return give_bool(true, ret);
	}
	return give_bool(false, ret);
}

static bool
exec_programs(struct pyaudit_event *event, struct pyaudit_value *ret)
{
	static const struct pyaudit_value no_words = {.type = PYAUDIT_TAG_LIST};
	struct pyaudit_program_word programs[PYAUDIT_PROGRAMS_MAX];
	struct pyaudit_value path, argv, *items;
	unsigned n;

	if (!exec_path(event, &path))
		return false;
	if (runs_system_shell(event) || !exec_argv(event, &argv))
		argv = no_words;
	n = pyaudit_programs(&path, &argv, programs);
	items = scratch_take(event, n * (uint32_t)sizeof(*items));
	if (items == NULL)
		return false;
	for (unsigned i = 0; i < n; i++)
		items[i] = programs[i].name;
	*ret = (struct pyaudit_value){.type = PYAUDIT_TAG_LIST, .n_items = (uint16_t)n, .full_len = n,
				      .items = items};
	return true;
}

static bool
file_write(struct pyaudit_event *event, struct pyaudit_value *ret)
{
	const struct pyaudit_source *source = pyaudit_source_of(event->id, PYAUDIT_F_FILE_WRITE);
	const struct pyaudit_value *mode, *flags;

	if (source == NULL) {
		if (pyaudit_source_of(event->id, PYAUDIT_F_FILE_PATH) == NULL)
			return false;
		return give_bool(false, ret);
	}
	if (source->how == PYAUDIT_HOW_TRUE)
		return give_bool(true, ret);
	mode = argument(event, source->arg);
	flags = argument(event, source->arg + 1u);
	if (pyaudit_value_is_text(mode))
		for (uint32_t i = 0; i < mode->len; i++)
			if (strchr("wax+", mode->s[i]) != NULL && mode->s[i] != '\0')
				return give_bool(true, ret);
	if (flags->type == PYAUDIT_TAG_INT)
		return give_bool((flags->i & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND)) != 0,
				 ret);
	return give_bool(false, ret);
}

/* The address argument of socket events: a tuple (host, port[, flow, scope]) or a Unix path. */
static const struct pyaudit_value *
address(struct pyaudit_event *event)
{
	const struct pyaudit_source *source = pyaudit_source_of(event->id, PYAUDIT_F_NET_HOST);

	if (source == NULL || source->how != PYAUDIT_HOW_ADDRESS)
		return NULL;
	return argument(event, source->arg);
}

static bool
net_host(struct pyaudit_event *event, struct pyaudit_value *ret)
{
	const struct pyaudit_value *a = address(event);

	if (a == NULL)
		return give_text(plain(event, PYAUDIT_F_NET_HOST), ret);
	return a->type == PYAUDIT_TAG_LIST && a->n_items >= 2 && give_text(&a->items[0], ret);
}

/* An address as resolvers take it: IPv6, or one to four numbers with dots, each decimal, octal or
 * hexadecimal (127.1, 0x7f000001). Every part begins with a digit, which no name's last part does. */
static bool
net_ip(struct pyaudit_event *event, struct pyaudit_value *ret)
{
	bool part_starts = true, is_v6;
	uint32_t len;

	if (!net_host(event, ret) || ret->len == 0)
		return false;
	is_v6 = memchr(ret->s, ':', ret->len) != NULL;
	for (len = 0; len < ret->len && ret->s[len] != '%'; len++) {
		char c = ret->s[len];

		if (strchr(is_v6 ? "0123456789abcdefABCDEF.:" : "0123456789abcdefABCDEFxX.", c) ==
			    NULL ||
		    c == '\0' || (!is_v6 && part_starts && (c < '0' || c > '9')))
			return false;
		part_starts = c == '.';
	}
	ret->len = ret->full_len = len; /* without an interface: fe80::1%eth0 */
	return len > 0 && !part_starts;
}

static bool
net_port(struct pyaudit_event *event, struct pyaudit_value *ret)
{
	const struct pyaudit_value *a = address(event);
	const struct pyaudit_value *port;
	int64_t number = 0;

	if (a != NULL) {
		/* Whatever stands for the host; a netlink address is two numbers. */
		if (a->type != PYAUDIT_TAG_LIST || a->n_items < 2 ||
		    a->items[0].type == PYAUDIT_TAG_INT)
			return false;
		port = &a->items[1];
	} else {
		port = plain(event, PYAUDIT_F_NET_PORT);
	}
	if (port->type == PYAUDIT_TAG_INT) {
		*ret = *port;
		return true;
	}
	if (!pyaudit_value_is_text(port) || port->len == 0 || port->len > 5)
		return false;
	for (uint32_t i = 0; i < port->len; i++) {
		if (port->s[i] < '0' || port->s[i] > '9')
			return false;
		number = number * 10 + (port->s[i] - '0');
	}
	*ret = pyaudit_value_int(number);
	return true;
}

static bool
net_family(struct pyaudit_event *event, struct pyaudit_value *ret)
{
	const struct pyaudit_value *a = address(event);

	if (a == NULL)
		return false;
	if (pyaudit_value_is_text(a))
		return give_part("unix", 4, ret);
	if (a->type != PYAUDIT_TAG_LIST || a->n_items < 2 || !pyaudit_value_is_text(&a->items[0]))
		return false;
	if (a->full_len == 2)
		return give_part("inet", 4, ret);
	return a->full_len == 4 && give_part("inet6", 5, ret);
}

static bool
net_path(struct pyaudit_event *event, struct pyaudit_value *ret)
{
	const struct pyaudit_value *a = address(event);

	return a != NULL && give_text(a, ret);
}

/* scheme://[user@]host[:port][/path][?query][#fragment]; the host of [v6] is without brackets. */
static bool
url_part(struct pyaudit_event *event, unsigned field, struct pyaudit_value *ret)
{
	const struct pyaudit_value *url = plain(event, PYAUDIT_F_URL_FULL);
	const char *s, *end, *colon, *host, *host_end, *at;

	if (!pyaudit_value_is_text(url))
		return false;
	s = url->s;
	end = s + url->len;
	colon = memchr(s, ':', url->len);
	if (colon == NULL)
		return false;
	if (field == PYAUDIT_F_URL_SCHEME)
		return give_part(s, (size_t)(colon - s), ret);
	if (end - colon < 3 || colon[1] != '/' || colon[2] != '/')
		return false;
	host = colon + 3;
	for (host_end = host; host_end < end && strchr("/?#", *host_end) == NULL;)
		host_end++;
	if (field == PYAUDIT_F_URL_PATH) {
		const char *path_end = host_end;

		while (path_end < end && *path_end != '?' && *path_end != '#')
			path_end++;
		return give_part(host_end, (size_t)(path_end - host_end), ret);
	}
	at = memrchr(host, '@', (size_t)(host_end - host));
	if (at != NULL)
		host = at + 1;
	if (host < host_end && *host == '[') {
		const char *close = memchr(host, ']', (size_t)(host_end - host));

		if (close != NULL)
			return give_part(host + 1, (size_t)(close - host - 1), ret);
	}
	colon = memchr(host, ':', (size_t)(host_end - host));
	return give_part(host, (size_t)((colon != NULL ? colon : host_end) - host), ret);
}

static bool
numbered_argument(struct pyaudit_event *event, unsigned n, struct pyaudit_value *ret)
{
	const struct pyaudit_value *v = argument(event, n);
	char *text;

	if (v->type != PYAUDIT_TAG_INT)
		return give_text(v, ret);
	text = scratch_take(event, 24);
	if (text == NULL)
		return false;
	return give_part(text, (size_t)snprintf(text, 24, "%lld", (long long)v->i), ret);
}

static const struct pyaudit_value *
origin_part(const struct pyaudit_origin *frame, unsigned field)
{
	switch (field) {
	case PYAUDIT_F_CALLER_FILE:
	case PYAUDIT_F_STACK_FILE:
		return &frame->file;
	case PYAUDIT_F_CALLER_FUNCTION:
	case PYAUDIT_F_STACK_FUNCTION:
		return &frame->function;
	default:
		return &frame->module;
	}
}

static bool
give_packages(struct pyaudit_event *event, unsigned frame, struct pyaudit_value *ret)
{
	pyaudit_event_need_packages(event, frame);
	*ret = (struct pyaudit_value){.type = PYAUDIT_TAG_LIST,
				      .n_items = event->frames[frame].n_packages,
				      .full_len = event->frames[frame].n_packages,
				      .items = event->frames[frame].packages};
	return ret->n_items > 0;
}

static bool
caller_field(struct pyaudit_event *event, unsigned field, struct pyaudit_value *ret)
{
	const struct pyaudit_origin *frame;

	pyaudit_event_need_frames(event, 1);
	if (event->caller >= event->n_frames)
		return false;
	frame = &event->frames[event->caller];
	if (field == PYAUDIT_F_CALLER_PACKAGE)
		return give_packages(event, event->caller, ret);
	if (field != PYAUDIT_F_CALLER_LINE)
		return give_text(origin_part(frame, field), ret);
	pyaudit_event_need_lines(event);
	*ret = pyaudit_value_int(frame->line);
	return true;
}

static bool
stack_field(struct pyaudit_event *event, unsigned field, struct pyaudit_value *ret)
{
	struct pyaudit_value *items;

	pyaudit_event_need_frames(event, PYAUDIT_STACK_MAX);
	items = scratch_take(event, event->n_frames * (uint32_t)sizeof(*items));
	if (items == NULL || event->n_frames == 0)
		return false;
	*ret = (struct pyaudit_value){.type = PYAUDIT_TAG_LIST, .items = items};
	for (unsigned i = 0; i < event->n_frames; i++)
		if (give_text(origin_part(&event->frames[i], field), &items[ret->n_items]))
			ret->n_items++;
	ret->full_len = ret->n_items;
	return ret->n_items > 0;
}

/* A list that has room for all of them: a name stands in it as often as frames in a row do not. */
static bool
stack_packages(struct pyaudit_event *event, struct pyaudit_value *ret)
{
	const struct pyaudit_value *last = NULL;
	struct pyaudit_value *items, one;
	unsigned n = 0;

	pyaudit_event_need_frames(event, PYAUDIT_STACK_MAX);
	for (unsigned i = 0; i < event->n_frames; i++)
		n += give_packages(event, i, &one) ? one.n_items : 0;
	n = n < PYAUDIT_PACKAGES_MAX ? n : PYAUDIT_PACKAGES_MAX;
	items = scratch_take(event, n * (uint32_t)sizeof(*items));
	if (items == NULL || n == 0)
		return false;
	*ret = (struct pyaudit_value){.type = PYAUDIT_TAG_LIST, .items = items};
	for (unsigned i = 0; i < event->n_frames; i++) {
		if (!give_packages(event, i, &one) || one.items == last)
			continue;
		for (unsigned j = 0; j < one.n_items && ret->n_items < n; j++)
			items[ret->n_items++] = one.items[j];
		last = one.items;
	}
	ret->full_len = ret->n_items;
	return true;
}

/* Each kind once. Where credentials were replaced already, what stands for them says it. */
static bool
secret_kinds(struct pyaudit_event *event, struct pyaudit_value *ret)
{
	struct pyaudit_secrets secrets = pyaudit_secrets_of(event);
	struct pyaudit_value *items;
	uint64_t kinds = 0;

	for (unsigned i = 0; i < event->n_args; i++) {
		const struct pyaudit_value *v = argument(event, i);

		if (pyaudit_value_is_text(v))
			kinds |= pyaudit_secret_kinds(&secrets, v);
		if (v->type != PYAUDIT_TAG_LIST)
			continue;
		secrets.word = true;
		for (unsigned j = 0; j < v->n_items; j++)
			if (pyaudit_value_is_text(&v->items[j]))
				kinds |= pyaudit_secret_kinds(&secrets, &v->items[j]);
		secrets = (struct pyaudit_secrets){.code = secrets.code, .own = secrets.own};
	}
	items = kinds != 0 ? scratch_take(event, (uint32_t)__builtin_popcountll(kinds) *
							  (uint32_t)sizeof(*items))
			   : NULL;
	if (items == NULL)
		return false;
	*ret = (struct pyaudit_value){.type = PYAUDIT_TAG_LIST, .items = items};
	for (; kinds != 0; kinds &= kinds - 1) {
		const char *name = pyaudit_secret_kind(&secrets, (unsigned)__builtin_ctzll(kinds));

		items[ret->n_items++] = pyaudit_value_text(name, strlen(name));
	}
	ret->full_len = ret->n_items;
	return true;
}

const struct pyaudit_value *
pyaudit_field_plain(struct pyaudit_event *event, unsigned field)
{
	const struct pyaudit_source *first = pyaudit_event_sources[event->id];
	const struct pyaudit_value *v;

	/* What most events are about stands first in their rows. */
	v = first->field == field && first->how == PYAUDIT_HOW_ARG ? argument(event, first->arg)
								   : plain(event, field);
	return pyaudit_value_is_text(v) ? v : &absent;
}

bool
pyaudit_field(struct pyaudit_event *event, unsigned field, struct pyaudit_value *ret)
{
	static const char layers[][7] = {"audit", "libc", "daemon"};
	const struct pyaudit_value *v;
	struct pyaudit_value path;

	switch (field) {
	case PYAUDIT_F_EVENT:
		return give_part(event->name, event->name_len, ret);
	case PYAUDIT_F_LAYER:
		return event->layer <= PYAUDIT_LAYER_DAEMON &&
		       give_part(layers[event->layer], strlen(layers[event->layer]), ret);
	case PYAUDIT_F_ANNOUNCED:
		*ret = (struct pyaudit_value){.type = PYAUDIT_TAG_BOOL, .i = event->announced};
		return event->layer == PYAUDIT_LAYER_LIBC;
	case PYAUDIT_F_EXEC_PATH:
		return exec_path(event, ret);
	case PYAUDIT_F_EXEC_NAME:
		return exec_path(event, &path) && give_last_component(&path, ret);
	case PYAUDIT_F_EXEC_ARGV:
		return exec_argv(event, ret);
	case PYAUDIT_F_EXEC_CMDLINE:
		return exec_cmdline(event, ret);
	case PYAUDIT_F_EXEC_PROGRAMS:
		return exec_programs(event, ret);
	case PYAUDIT_F_EXEC_SHELL:
		return exec_shell(event, ret);
	case PYAUDIT_F_FILE_NAME:
		v = pyaudit_field_plain(event, PYAUDIT_F_FILE_PATH);
		return v->type != 0 && give_last_component(v, ret);
	case PYAUDIT_F_FILE_WRITE:
		return file_write(event, ret);
	case PYAUDIT_F_FILE_FD:
		v = plain(event, PYAUDIT_F_FILE_PATH);
		if (v->type == PYAUDIT_TAG_INT)
			*ret = *v;
		return v->type == PYAUDIT_TAG_INT;
	case PYAUDIT_F_SECRET_KIND:
		return secret_kinds(event, ret);
	case PYAUDIT_F_FILE_REAL:
		pyaudit_event_need_real(event);
		return give_text(&event->real, ret);
	case PYAUDIT_F_FILE_REAL_TARGET:
		pyaudit_event_need_real(event);
		return give_text(&event->real_target, ret);
	case PYAUDIT_F_NET_HOST:
		return net_host(event, ret);
	case PYAUDIT_F_NET_IP:
		return net_ip(event, ret);
	case PYAUDIT_F_NET_PORT:
		return net_port(event, ret);
	case PYAUDIT_F_NET_FAMILY:
		return net_family(event, ret);
	case PYAUDIT_F_NET_PATH:
		return net_path(event, ret);
	case PYAUDIT_F_URL_SCHEME:
	case PYAUDIT_F_URL_HOST:
	case PYAUDIT_F_URL_PATH:
		return url_part(event, field, ret);
	case PYAUDIT_F_CALLER_FILE:
	case PYAUDIT_F_CALLER_LINE:
	case PYAUDIT_F_CALLER_FUNCTION:
	case PYAUDIT_F_CALLER_MODULE:
	case PYAUDIT_F_CALLER_PACKAGE:
		return caller_field(event, field, ret);
	case PYAUDIT_F_STACK_FILE:
	case PYAUDIT_F_STACK_FUNCTION:
	case PYAUDIT_F_STACK_MODULE:
		return stack_field(event, field, ret);
	case PYAUDIT_F_STACK_PACKAGE:
		return stack_packages(event, ret);
	default:
		if (field >= PYAUDIT_F_ARG0 && field <= PYAUDIT_F_ARG7)
			return numbered_argument(event, field - PYAUDIT_F_ARG0, ret);
		return give_text(plain(event, field), ret);
	}
}
