"""The script for PowerShell 5 and later."""

from __future__ import annotations

from collections.abc import Iterable

from aws_runas.cli.completion.table import Flag, Table

_SCRIPT = r"""# PowerShell completion for aws-runas. Load it with:
# aws-runas completion powershell | Out-String | Invoke-Expression
# Flags and commands are those of this version. Profiles are read from the config at each completion.

Register-ArgumentCompleter -Native -CommandName 'aws-runas', 'aws-runas.exe' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $table = @{
@TABLE@
    }
    $summaries = [ordered]@{
@COMMANDS@
    }
    $typed = @($commandAst.CommandElements |
        Where-Object { $_.Extent.EndOffset -lt $cursorPosition -or
            ($_.Extent.EndOffset -eq $cursorPosition -and $wordToComplete -eq '') } |
        ForEach-Object { $_.Extent.Text.Trim("'", '"') })
    $positionsOf = {
        param($name)
        $positions = @($table[$name].Positions)
        $named = $env:AWS_PROFILE -or $env:AWS_DEFAULT_PROFILE
        if ($named -and $positions.Count -eq 2 -and $positions[0] -in 'profile', 'either') {
            $positions = @($positions[1])
        }
        , $positions
    }
    $offer = {
        param($words, $kind)
        foreach ($word in $words) {
            $text, $tip = $word -split "`t", 2
            if ($text -like ([WildcardPattern]::Escape($wordToComplete) + '*')) {
                if (-not $tip) { $tip = $text }
                $quoted = $text
                if ($text -match '[\s''"`$;,(){}@#&|<>]') { $quoted = "'" + $text.Replace("'", "''") + "'" }
                [System.Management.Automation.CompletionResult]::new($quoted, $text, $kind, $tip)
            }
        }
    }

    $command = ''
    $ended = $false
    $count = 0
    $positions = @()
    for ($index = 1; $index -lt $typed.Count; $index++) {
        $word = $typed[$index]
        if (-not $ended -and $word -eq '--') {
            $ended = $true
            if (-not $command) { $command = 'exec'; $positions = & $positionsOf 'exec' }
        } elseif (-not $ended -and $word.Length -gt 1 -and $word.StartsWith('-')) {
            $row = $table[$command]
            if ($row.Valued -ccontains $word) {
                $index++
                if ($index -ge $typed.Count) {
                    if ($word -ceq '--profile') {
                        & $offer @(& $typed[0] completion --profiles 2>$null) 'ParameterValue'
                    }
                    foreach ($known in $row.Values) {
                        $flag, $values = $known -split '=', 2
                        if ($flag -ceq $word) { & $offer ($values -split ',') 'ParameterValue' }
                    }
                    return
                }
            }
        } elseif (-not $command -and $word -ceq 'ssm') {
            continue
        } elseif (-not $command -and $table.ContainsKey($word)) {
            $command = $word
            $positions = & $positionsOf $command
        } else {
            if (-not $command) { $command = 'exec'; $positions = & $positionsOf 'exec' }
            $kind = if ($count -lt $positions.Count) { $positions[$count] } else { 'nothing' }
            if ($kind -eq 'program') { return }
            if ($kind -in 'profile', 'either', 'tunnel', 'nothing') { $ended = $true }
            $count++
        }
    }
    if (-not $ended -and $wordToComplete.StartsWith('-')) {
        & $offer $table[$command].Flags 'ParameterName'
        return
    }
    if (-not $command) {
        if ($typed[-1] -ceq 'ssm') { & $offer @(@SSM@) 'Command'; return }
        & $offer @($summaries.GetEnumerator() | ForEach-Object { $_.Key + "`t" + $_.Value }) 'Command'
        $positions = & $positionsOf 'exec'
        $count = 0
    }
    $kind = if ($count -lt $positions.Count) { $positions[$count] } else { 'nothing' }
    if ($kind -eq 'profile') {
        & $offer @(& $typed[0] completion --profiles 2>$null) 'ParameterValue'
    } elseif ($kind -eq 'tunnel') {
        & $offer @(& $typed[0] completion --tunnels 2>$null) 'ParameterValue'
    } elseif ($kind -eq 'either') {
        & $offer @(& $typed[0] completion --profiles 2>$null; & $typed[0] completion --tunnels 2>$null) 'ParameterValue'
    } elseif ($kind -eq 'program') {
        [System.Management.Automation.CompletionCompleters]::CompleteCommand($wordToComplete)
    } elseif ($kind -ne 'nothing') {
        & $offer ($kind -split ',') 'ParameterValue'
    }
}
"""


def script(found: Table) -> str:
    """Return the completion script.

    Args:
        found: the possible words at each position.
    """
    rows = [_row("", found.flags, ())]
    rows += [_row(name, command.flags, command.positions) for command in found.commands for name in command.names]
    described = [
        f"        {_quoted(name)} = {_quoted(one.summary)}" for one in found.commands for name in one.names[:1]
    ]
    return (
        _SCRIPT.replace("@TABLE@", "\n".join(rows))
        .replace("@SSM@", _list(found.ssm_commands))
        .replace("@COMMANDS@", "\n".join(described))
    )


def _row(name: str, flags: tuple[Flag, ...], positions: tuple[str | tuple[str, ...], ...]) -> str:
    described = [f"{spelling}\t{flag.help}" for flag in flags for spelling in flag.spellings]
    valued = [spelling for flag in flags if flag.takes_value for spelling in flag.spellings]
    values = [f"{one}={','.join(flag.values)}" for flag in flags if flag.values for one in flag.spellings]
    kinds = [one if isinstance(one, str) else ",".join(one) for one in positions]
    return (
        f"        {_quoted(name)} = @{{ Flags = @({_list(described)}); Valued = @({_list(valued)}); "
        f"Values = @({_list(values)}); Positions = @({_list(kinds)}) }}"
    )


def _list(words: Iterable[str]) -> str:
    return ", ".join(_quoted(word) for word in words)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
