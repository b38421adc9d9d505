/* SPDX-License-Identifier: Apache-2.0 */
/* Files and directories of rules: which are read, in which order, and what replaces what. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "rules_loader.h"

void
paths_fini(struct rules_paths *list)
{
	for (size_t i = 0; i < list->n_paths; i++)
		free(list->paths[i].path);
	free(list->paths);
}

static int
add_file(struct loader *ld, struct rules_paths *list, const char *path, size_t base,
	 bool from_directory)
{
	char *copy = strdup(path);
	struct rules_path *slot;

	if (copy == NULL)
		return -ENOMEM;
	for (size_t i = 0; from_directory && i < list->n_paths; i++) {
		slot = &list->paths[i];
		if (!slot->from_directory || strcmp(slot->path + slot->base, path + base) != 0)
			continue;
		free(slot->path);
		*slot = (struct rules_path){.path = copy, .base = base, .from_directory = true};
		return 0;
	}
	slot = loader_grow(ld, &list->paths, &list->n_paths, &list->size, sizeof(*slot));
	if (slot == NULL) {
		free(copy);
		return -ENOMEM;
	}
	*slot = (struct rules_path){.path = copy, .base = base, .from_directory = from_directory};
	return 0;
}

static int
is_rule_file(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return entry->d_name[0] != '.' && dot != NULL &&
	       (strcmp(dot, ".json") == 0 || strcmp(dot, ".rules") == 0);
}

static int
compare_dirents(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* The error of a path, not of a place in it. */
static void
path_mistake(struct loader *ld, const char *path, const char *what, int error)
{
	ld->mistakes = true;
	diag_add(ld->diag, DIAG_ERROR, path, 0, 0, "%s%s%s", what, error != 0 ? ": " : "",
		 error != 0 ? strerror(error) : "");
}

static int
add_directory(struct loader *ld, struct rules_paths *list, const char *path)
{
	struct dirent **entries = NULL;
	int n = scandir(path, &entries, is_rule_file, compare_dirents), r = 0;

	if (n < 0) {
		if (errno == ENOMEM)
			return -ENOMEM;
		path_mistake(ld, path, "cannot read the directory", errno);
		return 0;
	}
	for (int i = 0; i < n; i++) {
		CLEANUP(freep) char *full = NULL;
		size_t len = strlen(path);

		if (r == 0 &&
		    asprintf(&full, "%s%s%s", path, len > 0 && path[len - 1] == '/' ? "" : "/",
			     entries[i]->d_name) < 0) {
			full = NULL;
			r = -ENOMEM;
		}
		if (r == 0 && list->n_paths >= RULES_FILES_MAX) {
			path_mistake(ld, path, "too many files", 0);
			r = RULES_E_INVALID;
		}
		if (r == 0)
			r = add_file(ld, list, full, strlen(full) - strlen(entries[i]->d_name),
				     true);
		free(entries[i]);
	}
	free(entries);
	return r < 0 ? r : 0;
}

/* Reads up to the size limit and one byte more. */
static int
read_all(int fd, char **ret_text, size_t *ret_len)
{
	CLEANUP(freep) char *text = NULL;
	size_t len = 0, size = 0;

	for (;;) {
		ssize_t n;

		if (len == size) {
			char *grown;

			size = size > 0 ? size * 2 : 16384;
			grown = realloc(text, size);
			if (grown == NULL)
				return -ENOMEM;
			text = grown;
		}
		n = read(fd, text + len, size - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		len += (size_t)n;
		if (n == 0 || len > RULES_FILE_SIZE_MAX)
			break;
	}
	*ret_text = TAKE_PTR(text);
	*ret_len = len;
	return 0;
}

int
paths_read(struct loader *ld, const char *path, char **ret_text, size_t *ret_len)
{
	/* Not blocking: a FIFO in the way must not stop the daemon. */
	CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int r;

	*ret_text = NULL;
	if (fd < 0 || fstat(fd, &st) < 0) {
		path_mistake(ld, path, "cannot be read", errno);
		return 0;
	}
	if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3))
		return 0; /* a link to /dev/null masks a file of an earlier directory */
	if (!S_ISREG(st.st_mode)) {
		path_mistake(ld, path, "not a file", 0);
		return 0;
	}
	r = read_all(fd, ret_text, ret_len);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		path_mistake(ld, path, "cannot be read", -r);
	return 0;
}

int
paths_add(struct loader *ld, struct rules_paths *list, const char *path)
{
	const char *slash = strrchr(path, '/');
	struct stat st;

	if (stat(path, &st) < 0) {
		path_mistake(ld, path, "cannot be read", errno);
		return 0;
	}
	if (S_ISDIR(st.st_mode))
		return add_directory(ld, list, path);
	return add_file(ld, list, path, slash != NULL ? (size_t)(slash + 1 - path) : 0, false);
}
