/* SPDX-License-Identifier: Apache-2.0 */
#include "preload.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "spawn.h"

#define TRIAL_MS 10000

bool
preload_can_name(const char *library, char why[PRELOAD_WHY_MAX])
{
	if (library[0] == '/' && strpbrk(library, " \t\n:$#") == NULL)
		return true;
	(void)snprintf(why, PRELOAD_WHY_MAX,
		       "the dynamic linker cannot be told of the path '%s': it may hold no blank, "
		       "colon, dollar or number sign",
		       library);
	return false;
}

static bool
is_trusted(const struct stat *st, bool is_directory)
{
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return false;
	/* In a sticky directory others cannot put something else in the place of ours. */
	return (st->st_mode & (S_IWGRP | S_IWOTH)) == 0 ||
	       (is_directory && (st->st_mode & S_ISVTX) != 0);
}

bool
preload_is_safe(const char *root, const char *library, char why[PRELOAD_WHY_MAX])
{
	char path[PATH_MAX];
	size_t root_len = strlen(root);
	struct stat st;

	if (snprintf(path, sizeof(path), "%s%s", root, library) >= (int)sizeof(path)) {
		(void)snprintf(why, PRELOAD_WHY_MAX, "its path is too long");
		return false;
	}
	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode)) {
		(void)snprintf(why, PRELOAD_WHY_MAX, "there is no agent at %s", path);
		return false;
	}
	for (bool is_directory = false;; is_directory = true) {
		char *slash;

		if (stat(path, &st) < 0 || !is_trusted(&st, is_directory)) {
			(void)snprintf(why, PRELOAD_WHY_MAX,
				       "others than root can change %s, and with it every program",
				       path);
			return false;
		}
		slash = strrchr(path, '/');
		if (slash == NULL || (size_t)(slash - path) <= root_len)
			return true;
		*slash = '\0';
	}
}

/* Without a word on stderr: the dynamic linker says there what it cannot preload. */
static bool
runs_alike(const char *const *argv, const char *library, char why[PRELOAD_WHY_MAX])
{
	struct spawn_result with, without;
	bool alike;
	int r = spawn_run(argv, NULL, TRIAL_MS, &without), s;

	if (r == -ENOENT) {
		spawn_result_fini(&without);
		return true; /* not a program of this host */
	}
	s = spawn_run(argv, library, TRIAL_MS, &with);
	alike = r == 0 && s == 0 && with.status == without.status &&
		strcmp(with.out, without.out) == 0 && strcmp(with.err, without.err) == 0;
	if (!alike)
		(void)snprintf(why, PRELOAD_WHY_MAX,
			       "%s does not run under %s as it does without: %s", argv[0], library,
			       s < 0 ? strerror(-s)
			       : with.err != NULL && with.err[0] != '\0' ? with.err
									  : "it ended differently");
	spawn_result_fini(&with);
	spawn_result_fini(&without);
	return alike;
}

bool
preload_is_sound(const char *library, char why[PRELOAD_WHY_MAX])
{
	static const char *const trials[][4] = {
		{"true"},
		{"sh", "-c", "ls / >/dev/null && echo fine"},
		{"cat", "/proc/sys/kernel/ostype"},
		{"env", "-i", "/bin/sh", "-c"}, /* ends with a complaint: the same one */
		{"/usr/bin/python3", "-I", "-c", "import os, sys; print(sys.version, os.sep)"},
	};
	const char *argv[6] = {NULL};

	for (size_t i = 0; i < sizeof(trials) / sizeof(trials[0]); i++) {
		memcpy(argv, trials[i], sizeof(trials[i]));
		if (!runs_alike(argv, library, why))
			return false;
	}
	return true;
}

bool
preload_took_effect(const char *library, char why[PRELOAD_WHY_MAX])
{
	static const char *const argv[] = {"cat", "/proc/self/maps", NULL};
	struct spawn_result done;
	int r = spawn_run(argv, NULL, TRIAL_MS, &done);
	bool effective = r == 0 && done.status == 0 && done.err[0] == '\0' &&
			 strstr(done.out, library) != NULL;

	if (!effective)
		(void)snprintf(why, PRELOAD_WHY_MAX, "with it in " PRELOAD_PATH " %s",
			       r < 0 ? strerror(-r)
			       : done.err[0] != '\0' ? done.err
			       : done.status != 0    ? "a program failed"
						     : "the library was not loaded");
	spawn_result_fini(&done);
	return effective;
}

static bool
is_ours(const char *word, size_t len)
{
	static const char name[] = "/" PRELOAD_LIBRARY;
	size_t name_len = sizeof(name) - 1;

	return len >= name_len && memcmp(word + len - name_len, name, name_len) == 0;
}

/* One line without the words that are ours. False: nothing of ours was in it. */
static bool
edit_line(struct buf *out, const char *line, size_t len)
{
	size_t text = 0, kept = 0, start = out->len;
	const char *hash = memchr(line, '#', len);
	bool found = false;

	text = hash != NULL ? (size_t)(hash - line) : len;
	for (size_t at = 0; at < text;) {
		size_t word = at;

		while (word < text && strchr(" \t:", line[word]) == NULL)
			word++;
		if (word > at && is_ours(line + at, word - at)) {
			found = true;
		} else if (word > at) {
			if (kept++ > 0)
				buf_add_char(out, ' ');
			buf_add(out, line + at, word - at);
		}
		at = word + (word < text);
	}
	if (!found) {
		out->len = start;
		buf_add(out, line, len);
		buf_add_char(out, '\n');
		return false;
	}
	if (hash != NULL) {
		if (kept > 0)
			buf_add_char(out, ' ');
		buf_add(out, hash, len - text);
	}
	if (kept > 0 || hash != NULL)
		buf_add_char(out, '\n');
	return true;
}

bool
preload_edit(struct buf *ret, const char *text, const char *library)
{
	size_t len = strlen(text);

	for (const char *line = text, *end; line < text + len; line = end + 1) {
		end = strchr(line, '\n');
		if (end == NULL)
			end = text + len;
		(void)edit_line(ret, line, (size_t)(end - line));
		if (end == text + len)
			break;
	}
	if (library != NULL) {
		buf_add_str(ret, library);
		buf_add_char(ret, '\n');
	}
	return !ret->failed && (ret->len != len || (len > 0 && memcmp(ret->data, text, len) != 0));
}
