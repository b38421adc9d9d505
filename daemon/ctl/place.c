/* SPDX-License-Identifier: Apache-2.0 */
#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"

int
place_read(const char *path, char **ret_text, size_t *ret_len)
{
	CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	CLEANUP(freep) char *text = NULL;
	size_t len = 0;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode)) /* /dev/null: a unit that is masked */
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	text = malloc(PLACE_SIZE_MAX + 1);
	if (text == NULL)
		return -ENOMEM;
	for (;;) {
		ssize_t n = read(fd, text + len, PLACE_SIZE_MAX + 1 - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
		if (len > PLACE_SIZE_MAX)
			return -EFBIG;
	}
	text[len] = '\0';
	*ret_text = TAKE_PTR(text);
	if (ret_len != NULL)
		*ret_len = len;
	return 0;
}

/* The directory's entry is on disk only when the directory is. */
static void
sync_directory(const char *path)
{
	char directory[PATH_MAX];
	char *slash;
	int fd;

	(void)snprintf(directory, sizeof(directory), "%s", path);
	slash = strrchr(directory, '/');
	if (slash == NULL)
		return;
	slash[slash == directory] = '\0';
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)fsync(fd);
	(void)close(fd);
}

static int
write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

int
place_write(const char *path, const char *text, size_t len, mode_t mode)
{
	CLEANUP(freep) char *temporary = NULL;
	CLEANUP(closep) int fd = -1;
	struct stat st;
	int r;

	if (asprintf(&temporary, "%s.XXXXXX", path) < 0) {
		temporary = NULL;
		return -ENOMEM;
	}
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (stat(path, &st) == 0) {
		mode = st.st_mode & 07777;
		(void)!fchown(fd, st.st_uid, st.st_gid);
	}
	r = fchmod(fd, mode) < 0 ? -errno : write_all(fd, text, len);
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(temporary);
	else
		sync_directory(path);
	return r;
}

int
place_make_parents(const char *path)
{
	char part[PATH_MAX];

	if (strlen(path) >= sizeof(part))
		return -ENAMETOOLONG;
	for (const char *slash = strchr(path + 1, '/'); slash != NULL;
	     slash = strchr(slash + 1, '/')) {
		memcpy(part, path, (size_t)(slash - path));
		part[slash - path] = '\0';
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return -errno;
	}
	return 0;
}

char *
place_below(const char *root, const char *path)
{
	char *joined;

	return asprintf(&joined, "%s%s", root, path) < 0 ? NULL : joined;
}
