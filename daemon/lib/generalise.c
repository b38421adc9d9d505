/* SPDX-License-Identifier: Apache-2.0 */
#include "generalise.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "buf.h"
#include "cleanup.h"
#include "verdict.h"

#define NUMBER_VARIES 4	  /* digits of a number that is taken to vary */
#define TEMPORARY_LEN 8	  /* of a name that tempfile makes, behind "tmp" */
#define HEX_VARIES 8	  /* hexadecimal digits of a name that is taken to vary */
#define HOSTS_OF_DOMAIN 4 /* more of one domain stand for all of it */

/* ---- sets ---- */

void
texts_fini(struct texts *texts)
{
	for (size_t i = 0; i < texts->n; i++)
		free(texts->texts[i]);
	free(texts->texts);
	*texts = (struct texts){0};
}

static int
compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void
texts_sort(struct texts *texts)
{
	size_t kept = 0;

	if (texts->is_sorted || texts->n == 0)
		return;
	qsort(texts->texts, texts->n, sizeof(char *), compare_texts);
	for (size_t i = 0; i < texts->n; i++) {
		if (kept > 0 && strcmp(texts->texts[kept - 1], texts->texts[i]) == 0)
			free(texts->texts[i]);
		else
			texts->texts[kept++] = texts->texts[i];
	}
	texts->n = kept;
	texts->is_sorted = true;
}

int
texts_add(struct texts *texts, const char *text, size_t len)
{
	char *copy;

	if (texts->n == texts->size) {
		size_t size = texts->size == 0 ? 16 : 2 * texts->size;
		char **grown;

		/* Before it grows: most of it may be what it has already. */
		texts_sort(texts);
		if (texts->n > texts->size / 2 || texts->size == 0) {
			grown = realloc(texts->texts, size * sizeof(char *));
			if (grown == NULL)
				return -ENOMEM;
			texts->texts = grown;
			texts->size = size;
		}
	}
	copy = text_copy(text, len);
	if (copy == NULL)
		return -ENOMEM;
	texts->texts[texts->n++] = copy;
	texts->is_sorted = false;
	return 0;
}

/* ---- names ---- */

static size_t
digits(const char *s, size_t len)
{
	size_t n = 0;

	while (n < len && s[n] >= '0' && s[n] <= '9')
		n++;
	return n;
}

/* 2026-11-25 or 20261125: the digits themselves are caught by their number. */
static size_t
date(const char *s, size_t len)
{
	return digits(s, len) == 4 && len >= 10 && s[4] == '-' && digits(s + 5, len - 5) == 2 &&
			       s[7] == '-' && digits(s + 8, len - 8) == 2
		       ? 10
		       : 0;
}

/* 2.2.2: at least two numbers with a dot between. */
static size_t
version(const char *s, size_t len)
{
	size_t n = digits(s, len), more;

	if (n == 0)
		return 0;
	for (size_t parts = 1;; parts++) {
		if (n >= len || s[n] != '.')
			return parts > 1 ? n : 0;
		more = digits(s + n + 1, len - n - 1);
		if (more == 0)
			return parts > 1 ? n : 0;
		n += 1 + more;
	}
}

static bool
starts(const char *s, size_t len, const char *prefix)
{
	return len >= strlen(prefix) && memcmp(s, prefix, strlen(prefix)) == 0;
}

/* A part that varies at @at: how long it is, or 0. */
static size_t
varying(const char *s, size_t len, size_t at)
{
	size_t n = date(s + at, len - at);

	if (n == 0)
		n = version(s + at, len - at);
	if (n > 0)
		return n;
	n = digits(s + at, len - at);
	if (n >= NUMBER_VARIES)
		return n;
	/* module.cpython-311-x86_64-linux-gnu.so, libssl.so.3 */
	if (n > 0 && ((at >= 8 && memcmp(s + at - 8, "cpython-", 8) == 0) ||
		      (at >= 4 && memcmp(s + at - 4, ".so.", 4) == 0)))
		return n;
	return 0;
}

/* All of it varies: a number, an id in hexadecimal, with dashes or without. */
static bool
is_id(const char *s, size_t len)
{
	size_t n_digits = 0, n_hex = 0;

	for (size_t i = 0; i < len; i++) {
		n_digits += s[i] >= '0' && s[i] <= '9';
		n_hex += isxdigit((unsigned char)s[i]) != 0;
		if (!isxdigit((unsigned char)s[i]) && s[i] != '-')
			return false;
	}
	return n_digits == len || (n_hex >= HEX_VARIES && n_digits > 0);
}

/* What tempfile makes: "tmp" and eight of a-z0-9_. Returns the length, or 0. */
static size_t
temporary(const char *s, size_t len)
{
	size_t n = 3;

	if (!starts(s, len, "tmp"))
		return 0;
	while (n < len && ((s[n] >= 'a' && s[n] <= 'z') || (s[n] >= '0' && s[n] <= '9') || s[n] == '_'))
		n++;
	return n == 3 + TEMPORARY_LEN ? n : 0;
}

static bool
is_utf8(const char *s, size_t len)
{
	while (len > 0) {
		size_t n = utf8_sequence(s, len);

		if (n == 0)
			return false;
		s += n;
		len -= n;
	}
	return true;
}

bool
generalise_component(struct buf *out, const char *s, size_t len)
{
	size_t at = temporary(s, len);
	bool wild = at > 0;

	if (len > 0 && (is_id(s, len) || !is_utf8(s, len))) {
		buf_add_char(out, '*');
		return true;
	}
	if (wild)
		buf_add_str(out, "tmp*");
	while (at < len) {
		size_t n = (at == 0 || s[at - 1] < '0' || s[at - 1] > '9') ? varying(s, len, at) : 0;

		if (n > 0) {
			buf_add_char(out, '*');
			wild = true;
			at += n;
			continue;
		}
		if (strchr("*?[]\\", s[at]) != NULL)
			buf_add_char(out, '\\');
		buf_add_char(out, s[at++]);
	}
	return wild;
}

bool
generalise_command(struct buf *out, const char *s, size_t len)
{
	bool varies = false;

	buf_add_char(out, '^');
	for (size_t at = 0; at < len;) {
		bool fresh = at == 0 || !isalnum((unsigned char)s[at - 1]);
		size_t n = fresh ? digits(s + at, len - at) : 0, t = fresh ? temporary(s + at, len - at) : 0;

		if (t > 0) {
			buf_add_str(out, "tmp[a-z0-9_]{8}");
			varies = true;
			at += t;
		} else if (n > 0) {
			buf_add_str(out, "[0-9]+");
			varies = true;
			at += n;
		} else {
			if (strchr(".[]{}()*+?|^$\\", s[at]) != NULL)
				buf_add_char(out, '\\');
			buf_add_char(out, s[at++]);
		}
	}
	buf_add_char(out, '$');
	return varies;
}

/* ---- paths ---- */

void
path_patterns_fini(struct path_patterns *patterns)
{
	texts_fini(&patterns->exact);
	texts_fini(&patterns->globs);
	texts_fini(&patterns->under);
}

/* The file by which tempfile tries whether a directory of temporary files can be written to. */
static bool
is_trial(const char *path, const char *name, size_t len)
{
	static const char tmp[] = "/tmp/";
	size_t before = (size_t)(name - path);

	return len == TEMPORARY_LEN && before >= strlen(tmp) &&
	       memcmp(name - strlen(tmp), tmp, strlen(tmp)) == 0 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == len;
}

/* Every component made general. A glob throughout, so that likeness is equality. */
static int
path_glob(struct texts *out, const char *path)
{
	CLEANUP(buf_fini) struct buf glob;
	const char *at = path, *end;

	buf_init(&glob);
	for (;; at = end + 1) {
		end = strchrnul(at, '/');
		if (*end == '\0' && is_trial(path, at, (size_t)(end - at)))
			buf_add_str(&glob, "????????");
		else
			(void)generalise_component(&glob, at, (size_t)(end - at));
		if (*end == '\0')
			break;
		buf_add_char(&glob, '/');
	}
	return glob.failed ? -ENOMEM : texts_add(out, glob.data != NULL ? glob.data : "", glob.len);
}

static bool
is_wild(const char *glob)
{
	for (; *glob != '\0'; glob++) {
		if (*glob == '\\' && glob[1] != '\0')
			glob++;
		else if (*glob == '*' || *glob == '?')
			return true;
	}
	return false;
}

/* The text that a glob without wildcards stands for. */
static size_t
unquote(char *out, const char *glob, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (glob[i] == '\\' && i + 1 < len)
			i++;
		out[n++] = glob[i];
	}
	return n;
}

/* Components that a directory needs for all of it to be taken: its neighbours hold other things. */
static unsigned
least_depth(const char *path)
{
	static const char *const shared[] = {"/usr/", "/lib/", "/lib64/", "/opt/", "/tmp/", "/proc/"};

	for (size_t i = 0; i < sizeof(shared) / sizeof(shared[0]); i++)
		if (strncmp(path, shared[i], strlen(shared[i])) == 0)
			return 2;
	return path[0] == '/' ? 3 : 1;
}

struct fold {
	struct path_patterns *ret;
	char **globs; /* sorted */
	int r;
};

static void
emit(struct fold *fold, const char *glob, size_t len, bool below)
{
	CLEANUP(freep) char *text = strndup(glob, len);
	CLEANUP(freep) char *plain = malloc(len + 4);

	if (text == NULL || plain == NULL) {
		fold->r = -ENOMEM;
		return;
	}
	if (!is_wild(text)) {
		len = unquote(plain, text, len);
		fold->r = texts_add(below ? &fold->ret->under : &fold->ret->exact, plain, len);
		return;
	}
	fold->r = texts_add(&fold->ret->globs, text, len);
	if (fold->r != 0 || !below)
		return;
	memcpy(plain, text, len);
	memcpy(plain + len, "/**", 3);
	fold->r = texts_add(&fold->ret->globs, plain, len + 3);
}

/* End of the component that begins at @start. */
static size_t
component_end(const char *glob, size_t start)
{
	return (size_t)(strchrnul(glob + start, '/') - glob);
}

/* globs[lo..hi) have the same first @prefix bytes, whole components of them @depth; the next
 * component begins at @prefix. */
static void
fold_range(struct fold *fold, size_t lo, size_t hi, size_t prefix, unsigned depth)
{
	size_t n_children = 0, i, j, end;

	for (i = lo; i < hi; i = j, n_children++) {
		end = component_end(fold->globs[i], prefix);
		for (j = i + 1; j < hi && component_end(fold->globs[j], prefix) == end &&
				memcmp(fold->globs[i] + prefix, fold->globs[j] + prefix,
				       end - prefix) == 0;
		     j++)
			;
	}
	if (n_children > GENERALISE_CHILDREN_MAX && prefix > 0 &&
	    depth >= least_depth(fold->globs[lo])) {
		emit(fold, fold->globs[lo], prefix - 1, true);
		return;
	}
	for (i = lo; i < hi && fold->r == 0; i = j) {
		size_t first = i;

		end = component_end(fold->globs[i], prefix);
		for (j = i + 1; j < hi && component_end(fold->globs[j], prefix) == end &&
				memcmp(fold->globs[i] + prefix, fold->globs[j] + prefix,
				       end - prefix) == 0;
		     j++)
			;
		if (fold->globs[i][end] == '\0') { /* the path itself; those below follow */
			emit(fold, fold->globs[i], end, false);
			first++;
		}
		if (first < j && fold->r == 0)
			fold_range(fold, first, j, end + 1, depth + (end > prefix));
	}
}

int
generalise_paths(struct path_patterns *ret, struct texts *paths)
{
	CLEANUP(texts_fini) struct texts globs = {0};
	struct path_patterns patterns = {0};
	struct fold fold = {.ret = &patterns};

	texts_sort(paths);
	for (size_t i = 0; i < paths->n && fold.r == 0; i++)
		fold.r = path_glob(&globs, paths->texts[i]);
	texts_sort(&globs);
	fold.globs = globs.texts;
	if (fold.r == 0 && globs.n > 0)
		fold_range(&fold, 0, globs.n, 0, 0);
	if (fold.r != 0) {
		path_patterns_fini(&patterns);
		return fold.r;
	}
	texts_sort(&patterns.exact);
	texts_sort(&patterns.globs);
	texts_sort(&patterns.under);
	*ret = patterns;
	return 0;
}

/* ---- hosts ---- */

void
host_patterns_fini(struct host_patterns *patterns)
{
	texts_fini(&patterns->exact);
	texts_fini(&patterns->suffixes);
	texts_fini(&patterns->networks);
}

/* ".example.org" of api.example.org; NULL where that would be a top-level domain or less. */
static const char *
domain_of(const char *host)
{
	const char *dot = strchr(host, '.');

	return dot != NULL && strchr(dot + 1, '.') != NULL ? dot : NULL;
}

static size_t
count_of_domain(const struct texts *hosts, const char *domain)
{
	size_t n = 0;

	for (size_t i = 0; i < hosts->n; i++) {
		const char *other = domain_of(hosts->texts[i]);

		n += other != NULL && strcmp(other, domain) == 0;
	}
	return n;
}

int
generalise_hosts(struct host_patterns *ret, struct texts *hosts)
{
	struct host_patterns patterns = {0};
	uint8_t address[16];
	int r = 0;

	texts_sort(hosts);
	for (size_t i = 0; i < hosts->n && r == 0; i++) {
		const char *host = hosts->texts[i], *domain = domain_of(host);
		unsigned family = pyaudit_address_parse(host, strlen(host), address);

		if (family == 4 && address[0] == 127)
			r = texts_add(&patterns.networks, "127.0.0.0/8", strlen("127.0.0.0/8"));
		else if (family == 0 && domain != NULL &&
			 count_of_domain(hosts, domain) > HOSTS_OF_DOMAIN)
			r = texts_add(&patterns.suffixes, domain, strlen(domain));
		else
			r = texts_add(&patterns.exact, host, strlen(host));
	}
	if (r != 0) {
		host_patterns_fini(&patterns);
		return r;
	}
	texts_sort(&patterns.exact);
	texts_sort(&patterns.suffixes);
	texts_sort(&patterns.networks);
	*ret = patterns;
	return 0;
}
