/* bcryptprimitives.dll, as far as Rust's standard library needs it, for a Wine that has none. Tests only: on Windows
   the real one is always there. */
#include <stddef.h>
#include <windows.h>

/* RtlGenRandom, by the name under which advapi32.dll exports it. */
BOOLEAN WINAPI SystemFunction036(void *buffer, ULONG length);

__declspec(dllexport) BOOL WINAPI ProcessPrng(BYTE *buffer, SIZE_T length) {
    const SIZE_T most = 1 << 20;
    for (SIZE_T done = 0; done < length;) {
        SIZE_T piece = length - done < most ? length - done : most;
        if (!SystemFunction036(buffer + done, (ULONG)piece)) return FALSE;
        done += piece;
    }
    return TRUE;
}
