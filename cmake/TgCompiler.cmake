# The language, the warnings and the hardening that every target of the project gets.
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
add_compile_definitions(_GNU_SOURCE)

add_compile_options(
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wformat=2
    -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wpointer-arith -Wcast-qual
    -Wwrite-strings -Wundef -Wvla -Wswitch-enum -Wimplicit-fallthrough -Wdouble-promotion
    -Wnull-dereference)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wduplicated-cond -Wduplicated-branches -Wlogical-op -Wformat-signedness
                        -Wjump-misses-init)
endif()
if(TG_WERROR)
    add_compile_options(-Werror)
endif()

add_compile_options(-fno-common -fvisibility=hidden -fno-strict-aliasing -fstack-protector-strong
                    -fPIE)
# clang 14 ignores these two on some targets and says so; gcc is the release compiler.
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-fstack-clash-protection -fcf-protection)
endif()
add_link_options(-pie -Wl,-z,relro,-z,now)

set(CMAKE_C_FLAGS_RELEASE "-O2 -g -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3")
set(CMAKE_C_FLAGS_DEBUG "-Og -g")
# A request goes through small functions of many folders: over their borders they are inlined only
# by the linker. A seventh to a quarter less CPU in the program's own code.
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT TG_SANITIZE)
    include(CheckIPOSupported)
    check_ipo_supported(RESULT CMAKE_INTERPROCEDURAL_OPTIMIZATION LANGUAGES C)
endif()

if(TG_SANITIZE)
    add_compile_options(-fsanitize=${TG_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${TG_SANITIZE})
    add_compile_definitions(TG_SANITIZED=1)
endif()
if(TG_FUZZ)
    add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(TG_COVERAGE)
    add_compile_options(--coverage)
    add_link_options(--coverage)
endif()
