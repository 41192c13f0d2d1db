/*
 * The note by which FreeBSD's kernel knows a program, and for which version of its interfaces it was made
 * (NT_FREEBSD_ABI_TAG). In base it comes with crt1.o; zig's own start files lack it. The kernel then still
 * guesses the system from the loader's path, but treats the program as one from before FreeBSD 7.
 *
 * The compiler defines the version for the target it compiles for.
 */
	.section .note.tag,"a",%note
	.p2align 2
	.4byte	2f-1f
	.4byte	4f-3f
	.4byte	1
1:	.asciz	"FreeBSD"
2:	.p2align 2
3:	.4byte	__FreeBSD_version
4:

	.section .note.GNU-stack,"",%progbits
