/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events as lines for people:
 *
 *   14:02:11.123 BLOCK critical shell-from-web-worker os.system("id") at app.py:12 handler
 *   [gunicorn 4711]: id from app.py:12                               (one line in fact)
 *
 * Nearly all of an event is text that the monitored program chose. On a terminal such text could
 * move the cursor, rewrite earlier lines, turn the direction of writing or hide, so whatever is not
 * a visible character is shown as its number: \x1b a byte, \u202e a character. On a terminal an
 * ordinary event is cut to one line of it; alerts are shown whole.
 */
#include <assert.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

#include "buf.h"
#include "cleanup.h"
#include "client.h"
#include "ctl.h"
#include "writer.h"

#define VALUE_DEPTH_MAX 8
#define ARGS_WIDTH_MIN 32 /* arguments are not cut shorter, even if the line then wraps */

struct text {
	struct buf buf;
	unsigned width; /* columns, without escape sequences */
};

static void
text_fini(struct text *text)
{
	int saved_errno = errno;

	buf_fini(&text->buf);
	errno = saved_errno;
}

/* Our own words: plain ASCII. */
static void
add(struct text *text, const char *ascii)
{
	buf_add_str(&text->buf, ascii);
	text->width += (unsigned)strlen(ascii);
}

static void
add_colour(struct text *text, const char *sequence)
{
	buf_add_str(&text->buf, sequence);
}

static void
add_text(struct text *text, const struct text *other)
{
	buf_add(&text->buf, other->buf.data, other->buf.len);
	text->width += other->width;
}

/* Bytes of the character at @bytes, 0 if they are no valid UTF-8 (overlong forms, surrogates and
 * what is beyond Unicode included). */
static size_t
decode(const unsigned char *bytes, size_t len, uint32_t *ret_char)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n, i;
	uint32_t c;

	if (bytes[0] < 0x80) {
		*ret_char = bytes[0];
		return 1;
	}
	n = bytes[0] >= 0xf0 ? 4 : bytes[0] >= 0xe0 ? 3 : 2;
	if (bytes[0] < 0xc2 || bytes[0] > 0xf4 || n > len)
		return 0;
	c = bytes[0] & (0xffu >> (n + 1));
	for (i = 1; i < n; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (bytes[i] & 0x3fu);
	}
	if (c < smallest[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*ret_char = c;
	return n;
}

/* Characters that draw nothing, or change how others are drawn. */
static bool
is_hidden(uint32_t c)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {
		{0x0000, 0x001f}, {0x007f, 0x009f}, /* C0, DEL, C1 */
		{0x00ad, 0x00ad}, {0x034f, 0x034f}, {0x061c, 0x061c}, /* soft hyphen, CGJ, ALM */
		{0x115f, 0x1160}, {0x17b4, 0x17b5}, {0x180b, 0x180f}, /* fillers */
		{0x200b, 0x200f}, /* zero width, left-to-right and right-to-left marks */
		{0x2028, 0x202e}, /* line and paragraph separators, embedding and override */
		{0x2060, 0x206f}, /* word joiner, isolates, deprecated controls */
		{0x2800, 0x2800}, {0x3164, 0x3164}, /* blank Braille, Hangul filler */
		{0xfe00, 0xfe0f}, {0xfeff, 0xfeff}, /* variation selectors, byte order mark */
		{0xffa0, 0xffa0}, {0xfff0, 0xfffb}, /* interlinear annotation */
		{0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, /* shorthand and musical controls */
		{0xe0000, 0xe0fff}, /* tags */
	};
	size_t i;

	for (i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	return (c & 0xfffe) == 0xfffe; /* no character in any plane */
}

/* One character of foreign text, escaped where it must be. @quote is the quotation mark it stands
 * between, 0 for none. Returns the bytes of @bytes that it took. */
static size_t
add_char(struct text *text, const unsigned char *bytes, size_t len, char quote)
{
	char escaped[16] = "";
	uint32_t c = 0;
	size_t n = decode(bytes, len, &c);
	int width;

	if (n == 0)
		(void)snprintf(escaped, sizeof(escaped), "\\x%02x", bytes[0]);
	else if (c == '\n' || c == '\r' || c == '\t')
		(void)snprintf(escaped, sizeof(escaped), "\\%c",
			       c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
	else if (c == '\\' || (quote != 0 && c == (uint32_t)quote))
		(void)snprintf(escaped, sizeof(escaped), "\\%c", (char)c);
	else if (c < 0x20 || c == 0x7f)
		(void)snprintf(escaped, sizeof(escaped), "\\x%02x", (unsigned)c);
	else if (is_hidden(c))
		(void)snprintf(escaped, sizeof(escaped), c > 0xffff ? "\\U%08x" : "\\u%04x",
			       (unsigned)c);
	if (escaped[0] != '\0') {
		add(text, escaped);
		return n == 0 ? 1 : n;
	}
	buf_add(&text->buf, bytes, n);
	width = c < 0x80 ? 1 : wcwidth((wchar_t)c);
	text->width += width < 0 ? 1 : (unsigned)width;
	return n;
}

static void
add_foreign(struct text *text, const char *string, char quote)
{
	size_t len = strlen(string);

	while (len > 0) {
		size_t n = add_char(text, (const unsigned char *)string, len, quote);

		string += n;
		len -= n;
	}
}

/* As much of @other (plain text) as @width columns hold, then dots if that is not all. */
static void
add_cut(struct text *text, const struct text *other, unsigned width)
{
	const unsigned char *bytes = (const unsigned char *)other->buf.data;
	size_t i = 0;
	unsigned used = 0;

	if (other->width <= width) {
		add_text(text, other);
		return;
	}
	while (i < other->buf.len) {
		uint32_t c = 0;
		size_t n = decode(bytes + i, other->buf.len - i, &c);
		int w = c < 0x80 ? 1 : wcwidth((wchar_t)c);

		assert(n > 0); /* it has been through add_char */
		if (w < 0)
			w = 1;
		if (used + (unsigned)w + 3 > width)
			break;
		used += (unsigned)w;
		i += n;
	}
	buf_add(&text->buf, other->buf.data, i);
	text->width += used;
	add(text, "...");
}

static const char *
get_string(const cJSON *object, const char *name)
{
	return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
}

static void
add_number(struct text *text, double number)
{
	char digits[32];

	if (number > -1e15 && number < 1e15 && number == (double)(int64_t)number)
		(void)snprintf(digits, sizeof(digits), "%" PRId64, (int64_t)number);
	else
		(void)snprintf(digits, sizeof(digits), "%.17g", number);
	add(text, digits);
}

static void add_value(struct text *text, const cJSON *value, unsigned depth);

static void
add_values(struct text *text, const cJSON *values, unsigned depth)
{
	const char *separator = "";
	const cJSON *value;

	cJSON_ArrayForEach(value, values) {
		add(text, separator);
		separator = ", ";
		if (value->string != NULL) {
			add_foreign(text, value->string, 0);
			add(text, "=");
		}
		add_value(text, value, depth);
	}
}

/* What stands for a value that JSON has no form of (docs/event.schema.json): an object of some
 * type, a code object, a text that was cut. */
static void
add_object(struct text *text, const cJSON *value)
{
	const cJSON *length = cJSON_GetObjectItemCaseSensitive(value, "length");
	const char *type = get_string(value, "object");
	const char *code = get_string(value, "code");
	const char *cut = get_string(value, "text");

	if (cut != NULL) {
		add(text, "\"");
		add_foreign(text, cut, '"');
		add(text, "\"...");
		if (cJSON_IsNumber(length)) {
			add(text, " of ");
			add_number(text, length->valuedouble);
			add(text, " bytes");
		}
	} else {
		add(text, code != NULL ? "<code " : "<");
		add_foreign(text, code != NULL ? code : type != NULL ? type : "?", 0);
		add(text, ">");
	}
}

static void
add_value(struct text *text, const cJSON *value, unsigned depth)
{
	if (depth >= VALUE_DEPTH_MAX) {
		add(text, "...");
	} else if (cJSON_IsString(value)) {
		add(text, "\"");
		add_foreign(text, value->valuestring, '"');
		add(text, "\"");
	} else if (cJSON_IsNumber(value)) {
		add_number(text, value->valuedouble);
	} else if (cJSON_IsBool(value)) {
		add(text, cJSON_IsTrue(value) ? "True" : "False");
	} else if (cJSON_IsArray(value)) {
		add(text, "[");
		add_values(text, value, depth + 1);
		add(text, "]");
	} else if (cJSON_IsObject(value)) {
		add_object(text, value);
	} else {
		add(text, "None");
	}
}

void
text_clock(char *ret, size_t size, const char *time_text)
{
	struct tm utc = {0}, local;
	char fraction[4] = "000";
	const char *rest = strptime(time_text, "%Y-%m-%dT%H:%M:%S", &utc);
	time_t seconds;
	size_t i;

	if (rest != NULL && *rest == '.')
		for (i = 0, rest++; *rest >= '0' && *rest <= '9'; rest++, i++)
			if (i < 3)
				fraction[i] = *rest;
	if (rest == NULL || strcmp(rest, "Z") != 0) {
		(void)snprintf(ret, size, "%s", time_text);
		return;
	}
	seconds = timegm(&utc);
	if (localtime_r(&seconds, &local) == NULL)
		local = utc;
	(void)snprintf(ret, size, "%02u:%02u:%02u.%s", (unsigned)local.tm_hour,
		       (unsigned)local.tm_min, (unsigned)local.tm_sec, fraction);
}

static void
add_clock(struct text *text, const struct ctl_palette *palette, const cJSON *event)
{
	const char *time_text = get_string(event, "time");
	char clock[64] = "--:--:--.---";

	if (time_text != NULL)
		text_clock(clock, sizeof(clock), time_text);
	add_colour(text, palette->dim);
	add_foreign(text, clock, 0);
	add_colour(text, palette->reset);
	add(text, " ");
}

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL || slash[1] == '\0' ? path : slash + 1;
}

/* "[app.py 4711]": the script's name where there is one, else the program's. */
static void
add_process(struct text *text, const cJSON *event)
{
	const char *script = get_string(event, "script");
	const char *exe = get_string(event, "exe");
	const cJSON *pid = cJSON_GetObjectItemCaseSensitive(event, "pid");

	if (!cJSON_IsNumber(pid) || pid->valuedouble <= 0)
		return;
	add(text, " [");
	if (script != NULL && script[0] != '\0' && script[0] != '-') {
		add_foreign(text, base_name(script), 0);
		add(text, " ");
	} else if (exe != NULL && exe[0] != '\0') {
		add_foreign(text, base_name(exe), 0);
		add(text, " ");
		if (script != NULL && strncmp(script, "-m ", 3) == 0) {
			add_foreign(text, script, 0);
			add(text, " ");
		}
	}
	add_number(text, pid->valuedouble);
	add(text, "]");
}

/* The end of a path, from a slash on, that has at most @max bytes, or its last component. */
static const char *
path_end(const char *path, size_t max)
{
	size_t len = strlen(path);
	const char *slash = len > max ? strchr(path + (len - max), '/') : NULL;

	if (len <= max)
		return path;
	return slash != NULL && slash[1] != '\0' ? slash : base_name(path);
}

/* @columns of the terminal, a long path then loses its beginning; 0: it is shown whole. */
static void
add_caller(struct text *text, const cJSON *event, unsigned columns)
{
	size_t max = columns < 80 ? 20 : columns / 4;
	const cJSON *caller = cJSON_GetObjectItemCaseSensitive(event, "caller");
	const cJSON *line = cJSON_GetObjectItemCaseSensitive(caller, "line");
	const char *file = get_string(caller, "file");
	const char *function = get_string(caller, "function");

	if (file == NULL)
		return;
	add(text, " at ");
	if (columns != 0 && path_end(file, max) != file) {
		add(text, "...");
		file = path_end(file, max);
	}
	add_foreign(text, file, 0);
	if (cJSON_IsNumber(line)) {
		add(text, ":");
		add_number(text, line->valuedouble);
	}
	if (function != NULL && function[0] != '\0') {
		add(text, " ");
		add_foreign(text, function, 0);
	}
}

/* The names of the rules that matched, the strongest first. */
static void
add_rules(struct text *text, const cJSON *event)
{
	const char *rule = get_string(event, "rule");
	const char *separator = "";
	const cJSON *name;

	if (rule != NULL) {
		add_foreign(text, rule, 0);
		separator = ",";
	}
	cJSON_ArrayForEach(name, cJSON_GetObjectItemCaseSensitive(event, "rules")) {
		if (!cJSON_IsString(name) || (rule != NULL && strcmp(name->valuestring, rule) == 0))
			continue;
		add(text, separator);
		separator = ",";
		add_foreign(text, name->valuestring, 0);
	}
	add(text, " ");
}

/* A rule without a message of its own has one that says what the line says anyway. */
static bool
says_more(const char *message, const char *event)
{
	static const char *const plain[] = {" denied by rule ", " reported by rule ",
					    " would have been denied by rule "};
	size_t len = event == NULL ? 0 : strlen(event);
	size_t i;

	if (message == NULL || message[0] == '\0')
		return false;
	if (event == NULL || strncmp(message, event, len) != 0)
		return true;
	for (i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (strncmp(message + len, plain[i], strlen(plain[i])) == 0)
			return false;
	return true;
}

static void
add_act(struct text *text, const cJSON *event)
{
	const char *name = get_string(event, "event");
	const char *layer = get_string(event, "layer");

	if (layer != NULL && strcmp(layer, "libc") == 0)
		add(text, "libc:");
	add_foreign(text, name == NULL ? "?" : name, 0);
	add(text, "(");
	add_values(text, cJSON_GetObjectItemCaseSensitive(event, "args"), 0);
	add(text, ")");
}

static void
render_alert(struct text *text, const struct ctl_palette *palette, const cJSON *event)
{
	static const char observed[] = "would have blocked: "; /* said here in words of our own */
	const char *action = get_string(event, "action");
	const char *severity = get_string(event, "severity");
	const char *message = get_string(event, "message");
	bool denied =
		action != NULL && (strcmp(action, "block") == 0 || strcmp(action, "kill") == 0);

	add_colour(text, palette->bold);
	add_colour(text, denied ? palette->red : palette->yellow);
	add(text, !denied ? "ALERT " : action[0] == 'k' ? "KILL  " : "BLOCK ");
	if (severity != NULL) {
		add_foreign(text, severity, 0);
		add(text, " ");
	}
	add_rules(text, event);
	add_colour(text, palette->reset);
	add_act(text, event);
	add_caller(text, event, 0);
	add_process(text, event);
	if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(event, "observed"))) {
		add(text, " (observed only: would have been blocked)");
		if (message != NULL && strncmp(message, observed, strlen(observed)) == 0)
			message += strlen(observed);
	}
	if (says_more(message, get_string(event, "event"))) {
		add(text, ": ");
		add_colour(text, palette->bold);
		add_foreign(text, message, 0);
		add_colour(text, palette->reset);
	}
}

static void
render_loss(struct text *text, const struct ctl_palette *palette, const cJSON *event)
{
	const char *message = get_string(event, "message");
	const cJSON *lost = cJSON_GetObjectItemCaseSensitive(event, "lost");

	add_colour(text, palette->bold);
	add_colour(text, palette->magenta);
	add(text, "LOST  ");
	if (message != NULL) {
		add_foreign(text, message, 0);
	} else {
		add_number(text, cJSON_IsNumber(lost) ? lost->valuedouble : 0);
		add(text, " events are missing here");
	}
	add_colour(text, palette->reset);
}

/* Columns that are left for what may be cut, after @before and @behind. */
static unsigned
left_over(unsigned columns, const struct text *before, const struct text *behind)
{
	unsigned width = before->width + behind->width;

	if (columns == 0)
		return UINT_MAX;
	return width + ARGS_WIDTH_MIN < columns ? columns - width : ARGS_WIDTH_MIN;
}

static void
render_event(struct text *text, const cJSON *event, unsigned columns)
{
	CLEANUP(text_fini) struct text act = {0};
	CLEANUP(text_fini) struct text tail = {0};

	add(text, "event ");
	add_act(&act, event);
	add_caller(&tail, event, columns);
	add_process(&tail, event);
	add_cut(text, &act, left_over(columns, text, &tail));
	add_text(text, &tail);
	text->buf.failed |= act.buf.failed || tail.buf.failed;
}

/* A process came or went: said quietly, with its command line. */
static void
render_process(struct text *text, const struct ctl_palette *palette, const cJSON *event,
	       unsigned columns)
{
	CLEANUP(text_fini) struct text command = {0};
	CLEANUP(text_fini) struct text tail = {0};
	const char *what = get_string(event, "event");
	const char *message = get_string(event, "message");
	const cJSON *argv = cJSON_GetObjectItemCaseSensitive(event, "argv");
	unsigned label_at = text->width;
	const cJSON *arg;

	if (what != NULL && strncmp(what, "process.", 8) == 0)
		what += 8;
	add_colour(text, palette->dim);
	add_foreign(text, what != NULL ? what : "?", 0);
	while (text->width < label_at + 5)
		add(text, " ");
	cJSON_ArrayForEach(arg, argv) {
		add(&command, " ");
		if (cJSON_IsString(arg))
			add_foreign(&command, arg->valuestring, 0);
	}
	if (cJSON_GetArraySize(argv) == 0 && message != NULL) {
		add(&command, " ");
		add_foreign(&command, message, 0);
	}
	add_process(&tail, event);
	add_cut(text, &command, left_over(columns, text, &tail));
	add_text(text, &tail);
	text->buf.failed |= command.buf.failed || tail.buf.failed;
	add_colour(text, palette->reset);
}

/* Repeats that a limit held back. */
static void
render_summary(struct text *text, const struct ctl_palette *palette, const cJSON *event)
{
	const char *message = get_string(event, "message");

	add_colour(text, palette->yellow);
	add(text, "LIMIT ");
	add_foreign(text, message != NULL ? message : "alerts were counted, not told", 0);
	add_colour(text, palette->reset);
}

/* What the daemon says of itself. */
static void
render_state(struct text *text, const struct ctl_palette *palette, const cJSON *event)
{
	const char *what = get_string(event, "event");
	const char *message = get_string(event, "message");

	add_colour(text, palette->dim);
	add(text, "state ");
	add_foreign(text, message != NULL ? message : what != NULL ? what : "?", 0);
	add_colour(text, palette->reset);
}

/* cJSON ends a string at \u0000, which would hide the rest of it: shown as a picture instead. */
static void
keep_nuls(char *line, size_t len)
{
	char *at = line;

	while ((at = memchr(at, '\\', len - (size_t)(at - line))) != NULL) {
		size_t left = len - (size_t)(at - line);

		if (left >= 6 && memcmp(at, "\\u0000", 6) == 0)
			memcpy(at, "\\u2400", 6);
		if (left < 2)
			return;
		at += 2; /* the next one may be a quoted backslash */
	}
}

/* A program in raw mode (an editor, a prompt) wants a carriage return with each line end. */
static bool
needs_return(int fd)
{
	struct termios mode;

	return tcgetattr(fd, &mode) == 0 &&
	       (mode.c_oflag & (OPOST | ONLCR)) != (OPOST | ONLCR);
}

/* How the terminal is now. */
static void
look_at_terminal(struct writer *writer)
{
	struct winsize size;

	writer->returns = needs_return(writer->fd);
	writer->columns = 80;
	if (ioctl(writer->fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		writer->columns = size.ws_col;
}

static int
text_line(struct writer *writer, char *line, size_t len)
{
	CLEANUP(text_fini) struct text text = {0};
	CLEANUP(json_freep) cJSON *event = NULL;
	const char *kind;

	if (writer->terminal && writer->pending.len == 0)
		look_at_terminal(writer);
	keep_nuls(line, len);
	event = cJSON_ParseWithLength(line, len);
	kind = get_string(event, "kind");
	if (kind == NULL)
		return -EBADMSG;
	add_clock(&text, writer->palette, event);
	if (strcmp(kind, "event") == 0)
		render_event(&text, event, writer->columns);
	else if (strcmp(kind, "alert") == 0)
		render_alert(&text, writer->palette, event);
	else if (strcmp(kind, "loss") == 0)
		render_loss(&text, writer->palette, event);
	else if (strcmp(kind, "summary") == 0)
		render_summary(&text, writer->palette, event);
	else if (strcmp(kind, "process") == 0)
		render_process(&text, writer->palette, event, writer->columns);
	else
		render_state(&text, writer->palette, event);
	if (text.buf.failed)
		return -ENOMEM;
	buf_add(&writer->pending, text.buf.data, text.buf.len);
	buf_add_str(&writer->pending, writer->returns ? "\r\n" : "\n");
	return 0;
}

void
writer_text_init(struct writer *writer, FILE *out)
{
	*writer = (struct writer){
		.fd = fileno(out),
		.line = text_line,
		.palette = ctl_palette(out),
		.terminal = isatty(fileno(out)) == 1,
	};
}

static void
print(FILE *out, const struct text *text)
{
	if (!text->buf.failed && text->buf.len > 0)
		(void)fwrite(text->buf.data, 1, text->buf.len, out);
}

void
text_print(FILE *out, const char *prefix, const char *string)
{
	CLEANUP(text_fini) struct text text = {0};

	add(&text, prefix);
	add_foreign(&text, string, 0);
	add(&text, "\n");
	print(out, &text);
}

void
text_print_block(FILE *out, const char *string, size_t len)
{
	CLEANUP(text_fini) struct text text = {0};

	while (len > 0) {
		size_t n = 1;

		if (*string == '\n' || *string == '\t' || *string == '\\')
			buf_add(&text.buf, string, 1);
		else
			n = add_char(&text, (const unsigned char *)string, len, 0);
		string += n;
		len -= n;
	}
	print(out, &text);
}

unsigned
text_width(const char *string)
{
	CLEANUP(text_fini) struct text text = {0};

	add_foreign(&text, string, 0);
	return text.width;
}

void
text_print_cell(FILE *out, const char *string, unsigned columns)
{
	CLEANUP(text_fini) struct text cell = {0};
	CLEANUP(text_fini) struct text text = {0};

	add_foreign(&cell, string, 0);
	if (columns > 0)
		add_cut(&text, &cell, columns);
	else
		add_text(&text, &cell);
	while (text.width < columns)
		add(&text, " ");
	print(out, &text);
}

const struct ctl_palette *
ctl_palette(FILE *out)
{
	static const struct ctl_palette none = {"", "", "", "", "", "", ""};
	static const struct ctl_palette ansi = {
		.reset = "\033[0m",
		.bold = "\033[1m",
		.dim = "\033[2m",
		.red = "\033[31m",
		.green = "\033[32m",
		.yellow = "\033[33m",
		.magenta = "\033[35m",
	};
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	if ((no_color != NULL && no_color[0] != '\0') || term == NULL ||
	    strcmp(term, "dumb") == 0 || isatty(fileno(out)) != 1)
		return &none;
	return &ansi;
}
