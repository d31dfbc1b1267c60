# halfstep_describe_program(NAME SECTION COMPLETION argument... MAN_PAGE argument...)
#
# Lets the program NAME write its completion scripts and its man page at build
# time, and installs them where shells and man look for them.
#
#   COMPLETION  the arguments that print a script, before the shell's name
#   MAN_PAGE    the arguments that print the page
include(GNUInstallDirs)

function(halfstep_describe_program NAME SECTION)
  cmake_parse_arguments(ARG "" "" "COMPLETION;MAN_PAGE" ${ARGN})
  set(FOLDER ${PROJECT_BINARY_DIR}/share/${NAME})
  file(MAKE_DIRECTORY ${FOLDER})
  set(WRITTEN ${FOLDER}/${NAME}.${SECTION})
  add_custom_command(OUTPUT ${WRITTEN}
    COMMAND ${NAME} ${ARG_MAN_PAGE} > ${WRITTEN}
    DEPENDS ${NAME} VERBATIM)
  install(FILES ${WRITTEN} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${SECTION})
  set(FILES ${WRITTEN})
  foreach(SHELL bash zsh fish)
    set(WRITTEN ${FOLDER}/${NAME}.${SHELL})
    add_custom_command(OUTPUT ${WRITTEN}
      COMMAND ${NAME} ${ARG_COMPLETION} ${SHELL} > ${WRITTEN}
      DEPENDS ${NAME} VERBATIM)
    list(APPEND FILES ${WRITTEN})
  endforeach()
  install(FILES ${FOLDER}/${NAME}.bash RENAME ${NAME}
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  install(FILES ${FOLDER}/${NAME}.zsh RENAME _${NAME}
    DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
  install(FILES ${FOLDER}/${NAME}.fish
    DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
  install(TARGETS ${NAME} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  add_custom_target(${NAME}_description ALL DEPENDS ${FILES})
endfunction()
